//! Groups of ottla's members and another client's.

use std::path::Path;

use ottla::Client;
use tokio::process::Command;

use crate::Run;
use crate::mixed;
use ottla_peers::Result;

const STRATEGIES: [&str; 2] = ["range", "cooperative-sticky"];
const CLIENTS: [&str; 2] = ["librdkafka", "franz-go"];

impl Run {
    /// Has each client share groups with ottla's program; whether all went well.
    pub(crate) async fn groups(&self, ottla: &Path) -> Result<bool> {
        let mut rows = Vec::new();
        for client in CLIENTS {
            for strategy in STRATEGIES {
                for ottla_leads in [true, false] {
                    let leader = if ottla_leads { "ottla" } else { client };
                    let case = format!("{client}-{strategy}-led-by-{leader}");
                    let outcome = self
                        .share(ottla, client, strategy, ottla_leads, &case)
                        .await;
                    let shown = match &outcome {
                        Ok((written, repeated)) => {
                            format!("{case}: {written} records, {repeated} repeated")
                        }
                        Err(error) => format!("{case}: FAILED: {error}"),
                    };
                    eprintln!("{shown}");
                    rows.push((outcome.is_ok(), shown));
                }
            }
        }
        for (_, shown) in &rows {
            println!("{shown}");
        }
        Ok(!rows.is_empty() && rows.iter().all(|(is_good, _)| *is_good))
    }

    async fn share(
        &self,
        ottla: &Path,
        client: &str,
        strategy: &'static str,
        ottla_leads: bool,
        case: &str,
    ) -> Result<(usize, usize)> {
        self.log.create(case, 6).await?;
        let (brokers, topic) = (self.brokers.clone(), case.to_owned());
        let ottla = ottla.to_owned();
        let peer = match client {
            "franz-go" => vec![self.programs.franz_go().to_owned(), "member".into()],
            name => vec![self.programs.beside(&format!("{name}-member"))],
        };
        // A task of its own, so that a failure is told and the others go on.
        let shared = tokio::spawn(async move {
            let client = Client::builder().bootstrap_servers(&brokers).build();
            let client = client.expect("a client");
            let ottla = || {
                let mut command = Command::new(&ottla);
                command.args(["verifiable-consumer", "--bootstrap-server", &brokers]);
                command.args(["--topic", &topic, "--group-id", &topic]);
                command.args(["--assignment-strategy", strategy]);
                command
            };
            let theirs = || {
                let mut command = Command::new(&peer[0]);
                command.args(&peer[1..]);
                command.args([&brokers, &topic, &topic, strategy]);
                command
            };
            let join: [mixed::Join<'_>; 2] = match ottla_leads {
                true => [&ottla, &theirs],
                false => [&theirs, &ottla],
            };
            mixed::share(&client, &topic, &topic, join).await
        });
        Ok(shared.await?)
    }
}
