//! What a cluster is founded with: quorums and buckets.

use std::str::FromStr;

use clap::Args;
use quorate_proto::v1;
use serde::{Deserialize, Serialize};

use crate::args::duration;

/// The quorums and buckets of a new cluster; `quorate layout` and `quorate bucket` change them later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
pub(crate) struct ClusterSettings {
    /// How many nodes hold each key [default: 3, or the number of nodes if that is less].
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) n: Option<u32>,
    /// How many of them must answer a read [default: a majority].
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) r: Option<u32>,
    /// How many of them must acknowledge a write [default: a majority].
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) w: Option<u32>,
    /// A bucket beside the default one: NAME, or NAME:conflict=lww,mode=sloppy,ttl=1h,n=3,r=2,w=2 with any of these
    /// (conflict is siblings or lww, mode strict or sloppy); may be repeated.
    #[arg(long = "bucket", value_name = "BUCKET")]
    pub(crate) buckets: Vec<BucketSpec>,
}

/// `NAME` or `NAME:conflict=lww,mode=sloppy,ttl=1h,n=3,r=2,w=2`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BucketSpec {
    name: String,
    lww: bool,
    n: Option<u32>,
    r: Option<u32>,
    w: Option<u32>,
    #[serde(default)]
    sloppy: bool,
    #[serde(default)]
    ttl_ms: Option<u64>,
}

impl FromStr for BucketSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, properties) = text.split_once(':').unwrap_or((text, ""));
        if name.is_empty() {
            return Err(
                "its name is missing: NAME or NAME:conflict=lww,mode=sloppy,ttl=1h,n=3,r=2,w=2".into()
            );
        }
        let mut spec = Self { name: name.to_owned(), ..Self::default() };
        for property in properties.split(',').filter(|property| !property.is_empty()) {
            let (key, value) =
                property.split_once('=').ok_or_else(|| format!("{property:?} is not property=value"))?;
            let number = || match value.parse() {
                Ok(0) | Err(_) => Err(format!("{key}: {value:?} is no number from 1")),
                Ok(number) => Ok(Some(number)),
            };
            match key {
                "n" => spec.n = number()?,
                "r" => spec.r = number()?,
                "w" => spec.w = number()?,
                "conflict" => {
                    spec.lww = match value {
                        "lww" => true,
                        "siblings" => false,
                        _ => return Err(format!("conflict: {value:?} is neither siblings nor lww")),
                    }
                }
                "mode" => {
                    spec.sloppy = match value {
                        "sloppy" => true,
                        "strict" => false,
                        _ => return Err(format!("mode: {value:?} is neither strict nor sloppy")),
                    }
                }
                "ttl" => spec.ttl_ms = Some(ttl_ms(value)?),
                _ => return Err(format!("{key:?} is none of conflict, mode, ttl, n, r, w")),
            }
        }
        Ok(spec)
    }
}

impl BucketSpec {
    /// As it is asked for.
    pub(crate) fn settings(&self) -> v1::BucketSettings {
        v1::BucketSettings {
            name: self.name.clone(),
            n: self.n,
            r: self.r,
            w: self.w,
            conflict: if self.lww {
                v1::ConflictPolicy::LastWriterWins.into()
            } else {
                v1::ConflictPolicy::Siblings.into()
            },
            mode: if self.sloppy { v1::QuorumMode::Sloppy.into() } else { v1::QuorumMode::Strict.into() },
            ttl_ms: self.ttl_ms,
        }
    }
}

/// A time to live; the nodes know the greatest.
fn ttl_ms(text: &str) -> Result<u64, String> {
    let ttl = duration(text).map_err(|error| format!("ttl: {error}"))?;
    match u64::try_from(ttl.as_millis()) {
        Ok(ms) if ms > 0 => Ok(ms),
        _ => Err(format!("ttl: {text:?} is not from 1ms to ten years")),
    }
}

impl ClusterSettings {
    /// The request that founds a cluster of these members.
    pub(crate) fn bootstrap(&self, cluster_id: [u8; 16], members: Vec<v1::Member>) -> v1::BootstrapRequest {
        v1::BootstrapRequest {
            cluster_id: cluster_id.to_vec().into(),
            partitions: 0,
            n: self.n.unwrap_or(0),
            r: self.r.unwrap_or(0),
            w: self.w.unwrap_or(0),
            members,
            buckets: self.buckets.iter().map(BucketSpec::settings).collect(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_read() {
        let spec: BucketSpec = "carts:conflict=lww,n=3,w=2".parse().unwrap();
        assert_eq!(
            spec,
            BucketSpec { name: "carts".into(), lww: true, n: Some(3), w: Some(2), ..BucketSpec::default() }
        );
        let spec: BucketSpec = "sessions:mode=sloppy,ttl=1h".parse().unwrap();
        assert_eq!((spec.sloppy, spec.ttl_ms), (true, Some(3_600_000)));
        assert_eq!("a".parse(), Ok(BucketSpec { name: "a".into(), ..BucketSpec::default() }));
    }

    #[test]
    fn what_is_no_bucket_is_told() {
        for (text, word) in [
            ("", "name"),
            (":n=1", "name"),
            ("a:n", "property=value"),
            ("a:n=0", "n:"),
            ("a:w=-1", "w:"),
            ("a:conflict=maybe", "neither"),
            ("a:mode=loose", "neither"),
            ("a:ttl=1", "unit"),
            ("a:ttl=0s", "ttl:"),
            ("a:zone=1", "none of"),
        ] {
            let error = text.parse::<BucketSpec>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
