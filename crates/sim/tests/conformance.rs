//! The simulator's store keeps the promises that every store has to keep.

use quorate_protocol::store::Store;
use quorate_sim::SimDisk;
use quorate_sim::rng::SimRng;
use quorate_storage::conformance::{Factory, ModelRun, check_against_model, check_all};

struct Disks {
    rng: SimRng,
}

impl Factory for Disks {
    type Store = SimDisk;

    fn fresh(&mut self) -> SimDisk {
        SimDisk::default()
    }

    fn reopen(&mut self, store: SimDisk) -> SimDisk {
        store.wait_durable(store.submitted()).expect("a simulated disk syncs");
        store.crash(&mut self.rng);
        store
    }

    fn crash(&mut self, store: SimDisk) -> Result<SimDisk, SimDisk> {
        store.crash(&mut self.rng);
        Ok(store)
    }
}

#[test]
fn the_simulated_disk_is_a_store() {
    check_all(&mut Disks { rng: SimRng::new(1, 0) }, 1);
}

#[test]
fn it_is_one_for_many_seeds() {
    for seed in 100..130 {
        let run = ModelRun { seed, steps: 500, ..ModelRun::default() };
        check_against_model(&mut Disks { rng: SimRng::new(seed, 0) }, run);
    }
}
