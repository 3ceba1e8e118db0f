//! A node whose disk was put back to what it was earlier never counts: it says nothing but what makes acquaintance, answers no client, and
//! gives up what it was. And nobody else gives up.

use quorate_protocol::identity::Betrayal;
use quorate_protocol::message::Message;
use quorate_protocol::operation::OperationResult;

use super::{Check, violation};
use crate::host::Host;

/// A node sends a message.
pub(crate) fn sends(host: &Host, message: &Message) -> Check {
    if host.is_impostor() && !message.makes_acquaintance() {
        return Err(violation("identity", format!("with a disk that was put back it says {message:?}")));
    }
    Ok(())
}

/// A node answers a client.
pub(crate) fn answers(host: &Host, result: &OperationResult) -> Check {
    if host.is_impostor() && result.is_ok() {
        return Err(violation("identity", format!("with a disk that was put back it answers {result:?}")));
    }
    Ok(())
}

/// A node gives its identity up; `has_left` when the cluster has done so before.
pub(crate) fn gives_up(host: &Host, betrayal: &Betrayal, has_left: bool) -> Check {
    let by_the_cluster = matches!(betrayal, Betrayal::Departed { .. });
    if (by_the_cluster && has_left) || host.is_impostor() {
        return Ok(());
    }
    Err(violation("identity", format!("it gives up, and its disk is its own: {betrayal}")))
}

/// At the end: who came back after it had left is another node.
pub(crate) fn has_given_up(host: &Host) -> Check {
    if host.has_to_give_up && host.process.is_some() {
        return Err(violation("identity", format!("{} has left, came back, and did not give up", host.id)));
    }
    Ok(())
}
