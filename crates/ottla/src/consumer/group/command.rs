//! What a consumer's handles ask of its member.

use ottla_coordinator::membership::Departure;
use tokio::sync::{mpsc, oneshot};

use super::Subscription;

/// Whether a consumer that is closed leaves its group (KIP-1092).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseMode {
    /// As Java's: a static member (`group.instance.id`) remains, so that it finds its partitions again when it
    /// is back within the session timeout; any other leaves.
    #[default]
    Default,
    /// It leaves: the others take over at once.
    Leave,
    /// It remains until its session expires.
    Remain,
}

/// Something the member is to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Be in the group, for these topics.
    Subscribe(Subscription),
    /// Have the group rebalance.
    Rejoin { reason: String },
    /// Give everything up and leave.
    Leave {
        departure: Departure,
        done: oneshot::Sender<()>,
    },
}

/// Where commands are handed in. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    commands: mpsc::UnboundedSender<Command>,
}

impl Group {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (commands, queue) = mpsc::unbounded_channel();
        (Self { commands }, queue)
    }

    /// Hands a command in. There is nobody to take it once the consumer is closed, and nothing to be done.
    pub(crate) fn tell(&self, command: Command) {
        drop(self.commands.send(command));
    }

    /// Leaves the group, and waits until that is done.
    pub(crate) async fn leave(&self, departure: Departure) {
        let (done, outcome) = oneshot::channel();
        self.tell(Command::Leave { departure, done });
        // Either it is done or there is nobody left to do it.
        drop(outcome.await);
    }
}
