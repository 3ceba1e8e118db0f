//! Clients send, are answered, wait no longer, try again.

use std::time::Duration;

use quorate_protocol::operation::{OperationResult, Outcome, Timed};
use quorate_protocol::version::{ContextToken, peek};
use quorate_protocol::{Event, RequestId};

use super::World;
use super::queue::{Happening, ToNode};
use crate::checks::Check;
use crate::describe;

/// The driver's own operations have this client.
pub(super) const DRIVER: usize = usize::MAX;

impl World {
    /// A client that waits for nothing does something.
    pub(super) fn client_step(&mut self, client: usize) -> Check {
        if self.workload.clients[client].waits_for.is_some() {
            return Ok(());
        }
        let nodes: Vec<usize> =
            (0..self.hosts.len()).filter(|&node| self.hosts[node].process.is_some()).collect();
        if nodes.is_empty() {
            self.plan_step(client);
            return Ok(());
        }
        let Some((operation, timeout_us)) = self.workload.next(client, &mut self.oracle) else {
            return Ok(());
        };
        let owners = self.serving_owners(operation);
        let owner = self.workload.pick_owner(&owners);
        let node = owner.unwrap_or_else(|| self.workload.pick_node(client, &nodes));
        let attempt = self.begin(operation, client, node, timeout_us);
        if let Some(recorder) = &mut self.recorder {
            recorder.began(attempt, self.now_us, self.workload.is_prober(client));
        }
        self.workload.clients[client].waits_for = Some(attempt);
        let at_us = self.now_us + self.workload.patience_us(timeout_us);
        self.queue.plan(at_us, Happening::GiveUp { client, attempt });
        self.send_request(node, attempt)
    }

    /// The owners of an operation's key that take part. One that has just started and does not yet refuses, before anything was done, and
    /// clients go to another.
    fn serving_owners(&self, operation: usize) -> Vec<usize> {
        let Some(key) = self.oracle.operations[operation].key else { return Vec::new() };
        let owners = self.layout.owners(self.oracle.keys[key].partition);
        let takes_part = |node: &usize| {
            let host = &self.hosts[*node];
            let process = host.process.as_ref();
            owners.contains(&host.id) && process.is_some_and(|process| !process.node.gauges().starting)
        };
        (0..self.hosts.len()).filter(takes_part).collect()
    }

    /// An attempt is on its way.
    pub(super) fn begin(&mut self, operation: usize, client: usize, node: usize, timeout_us: u64) -> usize {
        let host = &self.hosts[node];
        let started = host.clock.mono(self.now_us);
        let attempt =
            self.oracle.begin(operation, client, (node, host.life), (self.now_us, started), timeout_us);
        self.figures.retries += u64::from(self.oracle.operations[operation].attempts > 1);
        self.tracer.mix(operation as u64);
        self.tracer.line(self.now_us, || {
            let who = if client == DRIVER { "the driver".into() } else { format!("client {client}") };
            let what = describe::operation(&self.oracle, operation);
            format!("{who} asks {} in {} us: {what}", describe::node(node), timeout_us)
        });
        attempt
    }

    /// A node gets a request.
    pub(super) fn send_request(&mut self, node: usize, attempt: usize) -> Check {
        let life = self.hosts[node].life;
        self.happen_to(node, life, ToNode::Request { attempt })
    }

    pub(super) fn take_request(&mut self, node: usize, attempt: usize) -> Check {
        let record = &self.oracle.attempts[attempt];
        let operation = self.oracle.operations[record.operation].operation.clone();
        let timed = Timed { operation, timeout: Duration::from_micros(record.timeout_us) };
        self.handle(node, Event::Client { request: RequestId(attempt as u64), timed })
    }

    /// A node has answered; the client takes note, if it still waits.
    pub(super) fn client_answered(&mut self, client: usize, attempt: usize, result: OperationResult) {
        if client == DRIVER {
            self.last_outcome = Some(result);
            return;
        }
        if self.workload.clients[client].waits_for != Some(attempt) {
            return;
        }
        self.workload.clients[client].waits_for = None;
        if let Some(recorder) = &mut self.recorder {
            recorder.answered(&self.oracle, attempt, self.now_us, &result);
        }
        let operation = self.oracle.attempts[attempt].operation;
        let key = self.oracle.operations[operation].key;
        match (result, key) {
            (Ok(Outcome::Put(written) | Outcome::Delete(written)), Some(key)) => {
                self.learned(key, written.context, true);
                self.workload.acknowledged(client, key);
            }
            (Ok(Outcome::Get(found)), Some(key)) => self.learned(key, found.context, false),
            (Ok(_), _) => {}
            (Err(error), key) => {
                if let (Some(token), Some(key)) = (error.context, key) {
                    self.learned(key, token, false);
                }
                self.workload.unsure(client, operation, &self.oracle);
            }
        }
        self.plan_step(client);
    }

    fn learned(&mut self, key: usize, token: ContextToken, of_write: bool) {
        if let Ok(context) = peek(&token) {
            let seen = self.oracle.keys[key].covered(&context);
            self.workload.learned(key, token, seen, of_write);
        }
    }

    /// A client waits no longer.
    pub(super) fn give_up(&mut self, client: usize, attempt: usize) {
        if self.workload.clients[client].waits_for == Some(attempt) {
            self.workload.clients[client].waits_for = None;
            self.tracer.line(self.now_us, || format!("client {client} waits no longer"));
            if let Some(recorder) = &mut self.recorder {
                recorder.gave_up(&self.oracle, attempt, self.now_us);
            }
            let operation = self.oracle.attempts[attempt].operation;
            self.workload.unsure(client, operation, &self.oracle);
            self.plan_step(client);
        }
    }

    /// The connections of clients to a node broke.
    pub(super) fn clients_lose(&mut self, node: usize) {
        for client in 0..self.workload.clients.len() {
            if let Some(attempt) = self.workload.clients[client].waits_for
                && self.oracle.attempts[attempt].node == node
            {
                let think_us = self.workload.think_us(client);
                let at_us = self.workload.next_busy(self.now_us + think_us);
                self.queue.plan(at_us, Happening::GiveUp { client, attempt });
            }
        }
    }

    fn plan_step(&mut self, client: usize) {
        let think_us = self.workload.think_us(client);
        let at_us = self.workload.next_busy(self.now_us + think_us);
        self.queue.plan(at_us, Happening::ClientStep(client));
    }
}
