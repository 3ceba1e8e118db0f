//! One replica acts: the one that holds the Lease. Who loses it ends, and begins anew as one that waits.
//!
//! Clocks are not compared. A Lease that has not been renewed for as long as it says, by the clock of who looks at it, is free.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

/// For how long a Lease is held after it was renewed.
const DURATION: Duration = Duration::from_secs(15);
/// Who cannot renew it for this long acts no more: well before another one may.
const GIVE_UP: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(4);

/// The Lease that this replica wants, or has.
pub struct Election {
    api: Api<Lease>,
    name: String,
    holder: String,
}

/// What a Lease was when it was looked at, and since when it has been that.
struct Held {
    version: Option<String>,
    since: Instant,
}

impl Election {
    /// `holder`: the name of this replica's pod, which no other has.
    pub fn new(client: Client, namespace: &str, name: &str, holder: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.into(), holder: holder.into() }
    }

    /// Waits until this replica holds the Lease.
    pub async fn win(&self) {
        let mut held: Option<Held> = None;
        loop {
            match tokio::time::timeout(TIMEOUT, self.step(&mut held)).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "the Lease cannot be had"),
                Err(_) => {
                    tracing::warn!(lease = self.name, "the Lease cannot be had: the API server is slow")
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Holds the Lease; returns when it is lost.
    pub async fn hold(&self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < GIVE_UP {
            tokio::time::sleep(RENEW.min(GIVE_UP.saturating_sub(renewed.elapsed()))).await;
            let asked = Instant::now();
            let left = GIVE_UP.saturating_sub(renewed.elapsed()).min(TIMEOUT);
            match tokio::time::timeout(left, self.step(&mut None)).await {
                Ok(Ok(true)) => renewed = asked,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "the Lease cannot be renewed"),
                Err(_) => {
                    tracing::warn!(lease = self.name, "the Lease cannot be renewed: the API server is slow")
                }
            }
        }
    }

    /// Lets another replica have it at once. It may be lost already.
    pub async fn release(&self) {
        let released = async {
            let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.holder) {
                spec.holder_identity = None;
                spec.lease_duration_seconds = Some(1);
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        match tokio::time::timeout(TIMEOUT, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Lease is not released, and ends by itself"),
            Err(_) => tracing::warn!("the Lease is not released, and ends by itself"),
        }
    }

    /// Whether this replica holds the Lease now: it takes it when it is free, and renews it when it has it.
    async fn step(&self, held: &mut Option<Held>) -> kube::Result<bool> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.spec(&LeaseSpec::default())) };
            return won(self.api.create(&PostParams::default(), &lease).await);
        };
        let before = lease.spec.clone().unwrap_or_default();
        let holder = before.holder_identity.as_deref().unwrap_or_default();
        if holder != self.holder && !holder.is_empty() {
            let version = lease.metadata.resource_version.clone();
            let seen = held.get_or_insert_with(|| Held { version: version.clone(), since: Instant::now() });
            if seen.version != version {
                *seen = Held { version, since: Instant::now() };
            }
            let seconds = before.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            if seen.since.elapsed() < seconds.map_or(DURATION, Duration::from_secs) {
                return Ok(false);
            }
        }
        // The version that was read goes with it: when two take it, one is refused.
        lease.spec = Some(self.spec(&before));
        won(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    fn spec(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let same = before.holder_identity.as_deref() == Some(&self.holder);
        let transitions = before.lease_transitions.unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: before.acquire_time.clone().filter(|_| same).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(!same)),
            ..LeaseSpec::default()
        }
    }
}

/// Who holds the Lease, when it is seen to be renewed. Waits for that.
pub async fn holder(client: &Client, namespace: &str, name: &str) -> String {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let mut before: Option<Lease> = None;
    loop {
        match api.get_opt(name).await {
            Ok(lease) => {
                if let Some(holder) = lease.as_ref().and_then(|lease| renewed_by(before.as_ref()?, lease)) {
                    return holder;
                }
                before = lease;
            }
            Err(error) => tracing::warn!(%error, lease = name, "the Lease cannot be read"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Who has renewed the Lease between two looks.
fn renewed_by(before: &Lease, after: &Lease) -> Option<String> {
    let (before, after) = (before.spec.as_ref()?, after.spec.as_ref()?);
    let holder = after.holder_identity.clone().filter(|holder| !holder.is_empty())?;
    (after.renew_time.is_some() && before.renew_time != after.renew_time).then_some(holder)
}

/// Another one was faster: no error.
fn won<T>(written: kube::Result<T>) -> kube::Result<bool> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_nobody_renews_is_held_by_nobody() {
        let lease = |holder: &str, renewed: i64| Lease {
            spec: Some(LeaseSpec {
                holder_identity: (!holder.is_empty()).then(|| holder.into()),
                renew_time: Timestamp::from_second(renewed).ok().map(MicroTime),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        assert_eq!(renewed_by(&lease("a", 1), &lease("a", 5)).as_deref(), Some("a"));
        assert_eq!(renewed_by(&lease("a", 1), &lease("a", 1)), None, "its holder may be dead");
        assert_eq!(renewed_by(&lease("a", 1), &lease("", 5)), None, "it was released");
    }
}
