//! redis, or what speaks its protocol.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError};

use super::{Target, Trouble};
use crate::bench::{LoadArgs, keys};

pub(in crate::bench) struct RedisTarget {
    connections: Vec<MultiplexedConnection>,
    /// Places on the connections that nothing is under way at; each connection has `pipeline` of them.
    free: Mutex<Vec<usize>>,
    pipeline: u32,
    version: String,
}

impl RedisTarget {
    pub(in crate::bench) async fn connect(endpoints: &[String], args: &LoadArgs) -> Result<Self> {
        let [address] = endpoints else { bail!("--endpoint: redis is one server, and so takes one") };
        let trouble = || format!("connecting to redis at {address}");
        let client = Client::open(address.as_str()).with_context(|| format!("endpoint {address:?}"))?;
        let pipeline = args.target.pipeline.unwrap_or(1);
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(args.options.timeout));
        let mut connections = Vec::new();
        for _ in 0..args.concurrency.div_ceil(pipeline) {
            let connection = client.get_multiplexed_async_connection_with_config(&config).await;
            connections.push(connection.with_context(trouble)?);
        }
        let places = (0..pipeline).flat_map(|_| 0..connections.len());
        let free = Mutex::new(places.collect());
        let mut first = connections[0].clone();
        let told: String =
            redis::cmd("INFO").arg("server").query_async(&mut first).await.with_context(trouble)?;
        Ok(Self { connections, free, pipeline, version: version(&told) })
    }

    fn free(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Trouble> {
        // While keys are prepared, more may be under way than there are places.
        let place = self.free().pop();
        let at = place.unwrap_or_else(|| rand::random_range(0..self.connections.len()));
        let mut connection = self.connections[at].clone();
        let answer = command.query_async(&mut connection).await;
        if place.is_some() {
            self.free().push(at);
        }
        Ok(answer?)
    }
}

/// Out of what `INFO` tells, a line each. Those that are descended from redis still say one of redis, for its clients.
fn version(told: &str) -> String {
    let field = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim_start_matches(':').trim().to_owned())
    };
    match field("valkey_version") {
        Some(valkey) => format!("valkey {valkey}"),
        None => field("redis_version").unwrap_or_default(),
    }
}

impl Target for RedisTarget {
    async fn get(&self, key: u32) -> Result<Vec<Bytes>, Trouble> {
        let value: Option<Vec<u8>> = self.run(redis::cmd("GET").arg(&keys::name(key)[..])).await?;
        Ok(value.into_iter().map(Bytes::from).collect())
    }

    async fn put(&self, key: u32, value: Bytes) -> Result<u32, Trouble> {
        let () = self.run(redis::cmd("SET").arg(&keys::name(key)[..]).arg(&value[..])).await?;
        Ok(0)
    }

    fn may_be_stale(&self) -> bool {
        false
    }

    fn mode(&self) -> String {
        match self.pipeline {
            1 => "one under way per connection".into(),
            pipeline => format!("pipelined by {pipeline}"),
        }
    }

    fn version(&self) -> Option<&str> {
        Some(&self.version)
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        // What the server says is an answer; all else leaves it open.
        let is_indeterminate = error.code().is_none();
        Self { text: error.to_string(), is_indeterminate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_what_they_are() {
        assert_eq!(version("# Server\r\nredis_version:7.0.15\r\nos:Linux\r\n"), "7.0.15");
        assert_eq!(version("redis_version:7.2.4\r\nvalkey_version:8.0.1\r\n"), "valkey 8.0.1");
        assert_eq!(version(""), "");
    }
}
