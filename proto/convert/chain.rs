//! What nodes say to each other to agree on the next layout.

use quorate_protocol::chain::{Acceptance, Ballot};
use quorate_protocol::id::{Epoch, StartId};
use quorate_protocol::message::Message;

use super::ConvertError;
use crate::peer::v1;

fn ballot_to_wire(ballot: Ballot) -> v1::Ballot {
    v1::Ballot { round: ballot.round, start_id: ballot.start.0 }
}

fn ballot_from_wire(field: &'static str, ballot: Option<v1::Ballot>) -> Result<Ballot, ConvertError> {
    let ballot = ballot.ok_or_else(|| ConvertError::missing(field))?;
    Ok(Ballot { round: ballot.round, start: StartId(ballot.start_id) })
}

pub(super) fn prepare_to_wire(epoch: Epoch, ballot: Ballot) -> v1::Prepare {
    v1::Prepare { epoch: epoch.0, ballot: Some(ballot_to_wire(ballot)) }
}

pub(super) fn prepare_from_wire(prepare: v1::Prepare) -> Result<Message, ConvertError> {
    let ballot = ballot_from_wire("prepare.ballot", prepare.ballot)?;
    Ok(Message::Prepare { epoch: Epoch(prepare.epoch), ballot })
}

pub(super) fn prepared_to_wire(
    epoch: Epoch,
    ballot: Ballot,
    result: Result<Option<Acceptance>, Ballot>,
) -> v1::Prepared {
    let (accepted, promised) = match result {
        Ok(accepted) => (accepted, None),
        Err(promised) => (None, Some(ballot_to_wire(promised))),
    };
    let accepted =
        accepted.map(|(ballot, layout)| v1::Acceptance { ballot: Some(ballot_to_wire(ballot)), layout });
    v1::Prepared { epoch: epoch.0, ballot: Some(ballot_to_wire(ballot)), promised, accepted }
}

pub(super) fn prepared_from_wire(prepared: v1::Prepared) -> Result<Message, ConvertError> {
    let ballot = ballot_from_wire("prepared.ballot", prepared.ballot)?;
    let result = match (prepared.promised, prepared.accepted) {
        (Some(promised), _) => Err(ballot_from_wire("prepared.promised", Some(promised))?),
        (None, None) => Ok(None),
        (None, Some(accepted)) => {
            Ok(Some((ballot_from_wire("prepared.accepted.ballot", accepted.ballot)?, accepted.layout)))
        }
    };
    Ok(Message::Prepared { epoch: Epoch(prepared.epoch), ballot, result })
}

pub(super) fn accept_to_wire(epoch: Epoch, ballot: Ballot, layout: bytes::Bytes) -> v1::Accept {
    v1::Accept { epoch: epoch.0, ballot: Some(ballot_to_wire(ballot)), layout }
}

pub(super) fn accept_from_wire(accept: v1::Accept) -> Result<Message, ConvertError> {
    let ballot = ballot_from_wire("accept.ballot", accept.ballot)?;
    Ok(Message::Accept { epoch: Epoch(accept.epoch), ballot, layout: accept.layout })
}

pub(super) fn accepted_to_wire(epoch: Epoch, ballot: Ballot, result: Result<(), Ballot>) -> v1::Accepted {
    let promised = result.err().map(ballot_to_wire);
    v1::Accepted { epoch: epoch.0, ballot: Some(ballot_to_wire(ballot)), promised }
}

pub(super) fn accepted_from_wire(accepted: v1::Accepted) -> Result<Message, ConvertError> {
    let ballot = ballot_from_wire("accepted.ballot", accepted.ballot)?;
    let result = match accepted.promised {
        Some(promised) => Err(ballot_from_wire("accepted.promised", Some(promised))?),
        None => Ok(()),
    };
    Ok(Message::Accepted { epoch: Epoch(accepted.epoch), ballot, result })
}
