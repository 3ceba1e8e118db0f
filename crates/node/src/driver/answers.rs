//! The answers of a turn, on their way to those who wait for them.

use quorate_protocol::operation::OperationResult;
use tokio::sync::mpsc;

use super::handle::SessionAnswers;
use super::input::Reply;

/// The answers of one turn, grouped by session.
#[derive(Default)]
pub(super) struct Answers {
    sessions: Vec<(mpsc::UnboundedSender<SessionAnswers>, SessionAnswers)>,
}

impl Answers {
    /// Adds one.
    pub(super) fn add(&mut self, reply: Reply, result: OperationResult) {
        match reply {
            Reply::One(_) => answer_one(reply, result),
            Reply::Session { id, answers } => {
                // From the back: the answers of one session mostly come in a row.
                let known =
                    self.sessions.iter_mut().rev().find(|(channel, _)| channel.same_channel(&answers));
                match known {
                    Some((_, group)) => group.push((id, result)),
                    None => self.sessions.push((answers, vec![(id, result)])),
                }
            }
        }
    }

    /// Sends them: one message for each session.
    pub(super) fn send(self) {
        for (channel, answers) in self.sessions {
            let _ = channel.send(answers);
        }
    }
}

/// Answers at once. A client that has gone away does not mind.
pub(super) fn answer_one(reply: Reply, result: OperationResult) {
    match reply {
        Reply::One(waiting) => drop(waiting.send(result)),
        Reply::Session { id, answers } => drop(answers.send(vec![(id, result)])),
    }
}
