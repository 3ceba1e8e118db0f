//! Asking a node for another layout.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use quorate_proto::convert::status::change_error_of_status;
use quorate_proto::v1;
use quorate_proto::v1::change_layout_error::Code;
use quorate_proto::v1::change_layout_request::Order;

use super::known::Known;
use crate::admin;

/// The voters are given some time, and so is a node that is to be added.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// A node that is busy with a proposal is so for a moment.
const BUSY_PATIENCE: Duration = Duration::from_secs(10);
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Has the node that has told the layout carry out an order, or say what it would do.
pub(super) async fn ask(known: &Known, order: &Order, preview: bool) -> Result<v1::ChangeLayoutResponse> {
    let request =
        v1::ChangeLayoutRequest { expected_epoch: known.layout.epoch, preview, order: Some(order.clone()) };
    let give_up = Instant::now() + BUSY_PATIENCE;
    loop {
        let mut admin = admin::connect_for(&known.endpoint, CALL_TIMEOUT).await?;
        let status = match admin.change_layout(request.clone()).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => status,
        };
        let Some(error) = change_error_of_status(&status) else {
            return Err(admin::refused(&known.endpoint, &status));
        };
        // Nothing was done, so that it can be asked again.
        if error.code() != Code::Busy || Instant::now() >= give_up {
            return Err(refused(known, &error));
        }
        tokio::time::sleep(BUSY_PAUSE).await;
    }
}

fn refused(known: &Known, error: &v1::ChangeLayoutError) -> anyhow::Error {
    let said = known.names.fill_in(&error.message);
    match error.code() {
        Code::ChangedMeanwhile => anyhow!("{said}; look at it (`quorate layout show`), and ask again"),
        Code::NoMajority => anyhow!("{said} (`quorate layout show` tells whether it did)"),
        _ => anyhow!("{said}"),
    }
}
