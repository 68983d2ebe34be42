//! The clients: what each can be told to write, and how its program is started.

use ottla_peers::Codec;

/// A client and what it offers.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Least and greatest level of each codec in the client's own numbers; for ottla, every level.
    levels: &'static [(Codec, &'static [i32])],
    /// Why it neither writes nor reads the set `parts`.
    pub(crate) lacks: Option<&'static str>,
}

use Codec::{Gzip, Lz4, Zstd};

pub(crate) const PEERS: [Peer; 8] = [
    Peer {
        name: "ottla",
        levels: &[
            (Gzip, &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
            (
                Lz4,
                &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
            ),
            (
                Zstd,
                &[
                    -131_072, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                    13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
                ],
            ),
        ],
        lacks: None,
    },
    Peer {
        name: "java",
        levels: &[(Gzip, &[1, 9]), (Lz4, &[1, 17]), (Zstd, &[-131_072, 22])],
        lacks: None,
    },
    Peer {
        name: "librdkafka",
        // gzip has 0 too, but librdkafka sends what did not get smaller as it is.
        levels: &[(Gzip, &[1, 9]), (Lz4, &[0, 12]), (Zstd, &[1, 12])],
        lacks: None,
    },
    Peer {
        name: "franz-go",
        // Those of its libraries: lz4's are powers of two, zstd's four steps.
        levels: &[(Gzip, &[1, 9]), (Lz4, &[512, 131_072]), (Zstd, &[1, 4])],
        lacks: None,
    },
    Peer {
        name: "rskafka",
        levels: &[],
        lacks: Some("headers are a sorted map without nulls; there are no levels"),
    },
    Peer {
        name: "krafka",
        levels: &[(Gzip, &[0, 9]), (Zstd, &[-131_072, 22])],
        lacks: None,
    },
    Peer {
        name: "kacrab",
        levels: &[(Gzip, &[1, 9]), (Lz4, &[1, 12]), (Zstd, &[1, 22])],
        lacks: None,
    },
    Peer {
        name: "confluent-kafka",
        // All of lz4's are the same to it.
        levels: &[(Gzip, &[1, 9]), (Lz4, &[1, 17]), (Zstd, &[-131_072, 22])],
        lacks: None,
    },
];

/// What is written to one partition of a client's topic: `None` stands for the codec's default level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) codec: Codec,
    pub(crate) level: Option<i32>,
    pub(crate) set: &'static str,
}

impl Peer {
    /// Every set at each codec's default level, and the compressible ones at its other levels.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for codec in Codec::ALL {
            let mut sets = vec!["one", "parts", "map", "lines", "noise", "many"];
            if codec != Codec::None {
                sets.push("blocks");
            }
            let level = None;
            let sets = sets.into_iter().map(|set| Case { codec, level, set });
            cases.extend(sets.filter(|case| self.can(case)));
            let levels = self.levels.iter().filter(|(of, _)| *of == codec);
            for level in levels.flat_map(|(_, levels)| *levels) {
                let level = Some(*level);
                cases.extend(["lines", "blocks"].map(|set| Case { codec, level, set }));
            }
        }
        cases
    }

    /// Whether the client's records can be those of this case.
    pub(crate) fn can(&self, case: &Case) -> bool {
        self.lacks.is_none() || case.set != "parts"
    }
}
