//! Links between machines, one per direction: delay, loss, duplication, reordering, and cuts that nobody hears of.

use crate::rng::SimRng;

/// How the network of one run behaves.
#[derive(Clone, Debug)]
pub struct NetworkPlan {
    /// Each direction's least delay is drawn from this range.
    pub delay_us: (u64, u64),
    /// Up to this much is added to every message.
    pub jitter_us: u64,
    /// This share of the messages takes longer,
    pub spike: f64,
    /// up to this long.
    pub spike_us: u64,
    /// This share of the messages is lost.
    pub loss: f64,
    /// This share of the messages arrives twice.
    pub duplicate: f64,
    /// A copy of this share of the messages comes again much later,
    pub late: f64,
    /// after between a tenth of this and this, past what was sent after them.
    pub late_us: u64,
    /// Whether messages of one direction arrive in the order of sending, as in a stream.
    pub in_order: bool,
    /// Whether every message travels alone, and not with all that one event caused.
    pub split_batches: bool,
    /// How likely a node hears that a link is cut or its peer gone; otherwise the link is silently dead.
    pub told: f64,
    /// It hears of it at most this much later,
    pub notice_us: u64,
    /// and of a new connection at most this much later.
    pub connect_us: u64,
    /// How likely the messages that a node had sent just before it crashed still arrive.
    pub last_words: f64,
}

/// When one message arrives: never, once, or twice.
pub type Arrivals = [Option<u64>; 2];

/// Counts of what the network did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Batches handed to it.
    pub sent: u64,
    /// Batches that never arrived.
    pub lost: u64,
    /// Batches that arrived twice.
    pub duplicated: u64,
}

#[derive(Clone, Debug)]
struct Direction {
    delay_us: u64,
    cut: bool,
    last_arrival_us: u64,
}

/// All links of a cluster.
#[derive(Debug)]
pub struct Network {
    plan: NetworkPlan,
    nodes: usize,
    directions: Vec<Direction>,
    rng: SimRng,
    traffic: Traffic,
    /// For a while nothing is lost, doubled or held up.
    quiet: bool,
}

impl Network {
    /// The links between this many machines.
    pub fn new(nodes: usize, plan: NetworkPlan, mut rng: SimRng) -> Self {
        let directions = (0..nodes * nodes)
            .map(|_| Direction {
                delay_us: rng.between(plan.delay_us.0, plan.delay_us.1),
                cut: false,
                last_arrival_us: 0,
            })
            .collect();
        Self { plan, nodes, directions, rng, traffic: Traffic::default(), quiet: false }
    }

    /// Carries a batch; says when it arrives.
    pub fn send(&mut self, from: usize, to: usize, now_us: u64) -> Arrivals {
        self.traffic.sent += 1;
        let at = from * self.nodes + to;
        if self.quiet {
            return [Some(self.arrival(at, now_us)), None];
        }
        if self.directions[at].cut || self.rng.chance(self.plan.loss) {
            self.traffic.lost += 1;
            return [None, None];
        }
        let first = self.arrival(at, now_us);
        let mut second = self.rng.chance(self.plan.duplicate).then(|| self.arrival(at, now_us));
        if self.plan.late > 0.0 && self.rng.chance(self.plan.late) {
            second = Some(now_us + self.rng.between(self.plan.late_us / 10, self.plan.late_us));
        }
        self.traffic.duplicated += u64::from(second.is_some());
        [Some(first), second]
    }

    fn arrival(&mut self, at: usize, now_us: u64) -> u64 {
        let mut delay = self.directions[at].delay_us + self.rng.between(0, self.plan.jitter_us);
        if !self.quiet && self.rng.chance(self.plan.spike) {
            delay += self.rng.between(0, self.plan.spike_us);
        }
        let direction = &mut self.directions[at];
        let mut arrival = now_us + delay;
        if self.plan.in_order {
            arrival = arrival.max(direction.last_arrival_us);
            direction.last_arrival_us = arrival;
        }
        arrival
    }

    /// Whether messages in this direction vanish.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.directions[from * self.nodes + to].cut
    }

    /// Cuts or mends a direction; returns whether that was a change.
    pub fn set_cut(&mut self, from: usize, to: usize, cut: bool) -> bool {
        let direction = &mut self.directions[from * self.nodes + to];
        std::mem::replace(&mut direction.cut, cut) != cut
    }

    /// Whether for now nothing is lost, doubled or held up, whatever the plan says.
    pub fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// From now on nothing is cut, lost, doubled or held up.
    pub fn calm(&mut self) {
        self.quiet = true;
        for direction in &mut self.directions {
            direction.cut = false;
        }
    }

    /// How the network behaves.
    pub fn plan(&self) -> &NetworkPlan {
        &self.plan
    }

    /// What it did so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> NetworkPlan {
        NetworkPlan {
            delay_us: (100, 200),
            jitter_us: 500,
            spike: 0.1,
            spike_us: 5_000,
            loss: 0.0,
            duplicate: 0.0,
            late: 0.0,
            late_us: 0,
            in_order: false,
            split_batches: false,
            told: 1.0,
            notice_us: 0,
            connect_us: 0,
            last_words: 1.0,
        }
    }

    fn arrivals(plan: NetworkPlan) -> Vec<Arrivals> {
        let mut network = Network::new(2, plan, SimRng::new(1, 1));
        (0..200).map(|now| network.send(0, 1, now)).collect()
    }

    #[test]
    fn a_stream_keeps_its_order_and_a_datagram_network_does_not() {
        let sorted = |list: &[Arrivals]| list.windows(2).all(|pair| pair[0][0] <= pair[1][0]);
        let in_order = NetworkPlan { in_order: true, ..plan() };
        assert!(sorted(&arrivals(in_order)));
        assert!(!sorted(&arrivals(plan())));
    }

    #[test]
    fn loss_and_duplication_follow_the_plan() {
        let lossy = NetworkPlan { loss: 0.5, ..plan() };
        let lost = arrivals(lossy).iter().filter(|pair| pair[0].is_none()).count();
        assert!((60..140).contains(&lost));
        let doubling = NetworkPlan { duplicate: 0.5, ..plan() };
        let doubled = arrivals(doubling).iter().filter(|pair| pair[1].is_some()).count();
        assert!((60..140).contains(&doubled));
    }

    #[test]
    fn a_cut_has_a_direction() {
        let mut network = Network::new(2, plan(), SimRng::new(1, 1));
        assert!(network.set_cut(0, 1, true));
        assert_eq!(network.send(0, 1, 0), [None, None]);
        assert!(network.send(1, 0, 0)[0].is_some());
        network.calm();
        assert!(network.send(0, 1, 0)[0].is_some());
    }
}
