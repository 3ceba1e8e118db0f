//! Configuration: defaults, then a TOML file, then the environment (`QUORATE_*`), then flags.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format as _, Serialized, Toml};
use quorate_protocol::Limits;
use serde::{Deserialize, Serialize};

/// More threads than these would wait for the one loop.
const THREADS_BY_DEFAULT_MAX: usize = 4;

/// The flags of a node. What is absent comes from the environment, the file or the defaults.
#[derive(Clone, Debug, Default, Parser, Serialize)]
pub struct Args {
    /// A TOML file with these settings, named as the flags with underscores [env: QUORATE_CONFIG]
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where the node keeps its data: its identity lives there [env: QUORATE_DATA_DIR] [default: quorate-data]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Where to take gRPC clients; port 0: a free one [env: QUORATE_GRPC_LISTEN] [default: 127.0.0.1:7700]
    #[arg(long, value_name = "HOST:PORT", overrides_with = "grpc_listen")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_listen: Option<String>,
    /// Where to take HTTP clients [env: QUORATE_HTTP_LISTEN] [default: 127.0.0.1:7701]
    #[arg(long, value_name = "HOST:PORT", overrides_with = "http_listen")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_listen: Option<String>,
    /// Where to take other nodes [env: QUORATE_PEER_LISTEN] [default: 127.0.0.1:7702]
    #[arg(long, value_name = "HOST:PORT", overrides_with = "peer_listen")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_listen: Option<String>,
    /// The host under which others reach this node, when it is not the one that it listens on [env: QUORATE_ADVERTISE_HOST]
    #[arg(long, value_name = "HOST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise_host: Option<String>,
    /// Peer addresses of other nodes, to find the cluster after addresses have changed [env: QUORATE_SEEDS, a list in brackets]
    #[arg(long = "seed", value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<String>,
    /// A label for people, taken when the node is added to a cluster [env: QUORATE_NAME]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The failure zone that the node is in, taken when it is added to a cluster [env: QUORATE_ZONE]
    #[arg(long, value_name = "ZONE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its share of the data relative to the others', taken when it is added to a cluster [env: QUORATE_WEIGHT] [default: 1]
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Seals context tokens; the same on all nodes [env: QUORATE_TOKEN_SECRET]
    #[arg(long, value_name = "TEXT", hide = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_secret: Option<String>,
    /// Threads that serve connections and turn the protocol's loop; 0: one for each processor that the node may use, 4 at most
    /// [env: QUORATE_THREADS] [default: 0]
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Let whoever reaches the gRPC port make this node lose messages or hold them up: for tests only
    /// [env: QUORATE_UNSAFE_FAULT_INJECTION]
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unsafe_fault_injection: bool,
    /// How to write logs, to standard error [env: QUORATE_LOG_FORMAT] [default: text]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
    /// Print one JSON line with the node's id and addresses when it listens
    #[arg(long)]
    #[serde(skip)]
    pub announce: bool,
    /// Stop when standard input ends, so that the node does not outlive who started it
    #[arg(long)]
    #[serde(skip)]
    pub stop_with_stdin: bool,
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The effective configuration of a node.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the node keeps its data.
    pub data_dir: PathBuf,
    /// Where to take gRPC clients.
    pub grpc_listen: String,
    /// Where to take HTTP clients.
    pub http_listen: String,
    /// Where to take other nodes.
    pub peer_listen: String,
    /// The host under which others reach this node.
    pub advertise_host: Option<String>,
    /// Peer addresses of other nodes.
    pub seeds: Vec<String>,
    /// A label for people, for when the node is added to a cluster; the layout says what counts, of this and of the next two.
    pub name: String,
    /// The failure zone that the node is in.
    pub zone: String,
    /// Its share of the data relative to the others'.
    pub weight: u32,
    /// Seals context tokens.
    pub token_secret: Option<String>,
    /// Threads that serve connections and turn the protocol's loop; 0: one for each processor that the node may use, 4 at most.
    pub threads: usize,
    /// Whether `Admin.InjectFaults` is open.
    pub unsafe_fault_injection: bool,
    /// How logs look.
    pub log_format: LogFormat,
    /// The longest key, in bytes.
    pub key_bytes_max: usize,
    /// The longest value, in bytes.
    pub value_bytes_max: usize,
    /// The time that an operation gets which names none, in milliseconds.
    pub default_timeout_ms: u64,
    /// Client operations under way at once; past it they are refused.
    pub client_operations_max: usize,
    /// Memory for containers, in bytes, beside those in use.
    pub cache_bytes: usize,
    /// Memory for the pages of the store's index, in bytes; 1 MiB at least.
    pub store_cache_bytes: u64,
    /// Whether reads repair replicas that answer with less than others. Off, only anti-entropy does.
    pub read_repair: bool,
    /// How often each pair of owners compares its replicas, in milliseconds.
    pub exchange_interval_ms: u64,
    /// Bytes of containers that anti-entropy sends in a second, on average.
    pub exchange_bytes_per_s: u64,
    /// How often the background sweep begins to read all that the node holds, in seconds.
    pub sweep_interval_s: u64,
    /// Bytes that it reads in a second, on average.
    pub sweep_bytes_per_s: u64,
    /// A container that was read longer ago than this is not taken from a peer, in milliseconds; deleted keys are forgotten after a
    /// little more than twice this. The same on all nodes.
    pub message_age_ms: u64,
    /// Keys that owners missed and this node remembers to bring to them, at most; 0: none, anti-entropy brings all.
    pub hints_max: usize,
    /// Owners away for longer than this are left to anti-entropy, in seconds.
    pub hint_age_s: u64,
    /// Bytes of containers that this node keeps for owners that cannot be reached; past it sloppy writes are refused.
    pub fallback_bytes_max: usize,
    /// Bytes of hints brought to owners in a second, on average.
    pub hint_bytes_per_s: u64,
    /// Bytes of containers that the node takes in a second, on average, when a change of the layout makes it the owner of more.
    pub transfer_bytes_per_s: u64,
    /// A node that was started again waits no longer than this, in seconds, to hear what others know of it.
    pub start_wait_s: u64,
    /// How long after a write the store makes a checkpoint at the latest, in seconds.
    pub checkpoint_interval_s: u64,
    /// Writes are refused while the file system has less free space than this, in bytes.
    pub free_reserve_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            data_dir: "quorate-data".into(),
            grpc_listen: "127.0.0.1:7700".into(),
            http_listen: "127.0.0.1:7701".into(),
            peer_listen: "127.0.0.1:7702".into(),
            advertise_host: None,
            seeds: Vec::new(),
            name: String::new(),
            zone: String::new(),
            weight: 1,
            token_secret: None,
            threads: 0,
            unsafe_fault_injection: false,
            log_format: LogFormat::Text,
            key_bytes_max: limits.key_bytes,
            value_bytes_max: limits.value_bytes,
            default_timeout_ms: 5_000,
            client_operations_max: limits.client_operations,
            cache_bytes: limits.cache_bytes,
            store_cache_bytes: 64 << 20,
            read_repair: limits.read_repair,
            exchange_interval_ms: 2_000,
            exchange_bytes_per_s: limits.exchange_bytes_per_s,
            sweep_interval_s: 24 * 3600,
            sweep_bytes_per_s: limits.sweep_bytes_per_s,
            message_age_ms: 600_000,
            hints_max: limits.hints,
            hint_age_s: 3 * 3600,
            fallback_bytes_max: limits.fallback_bytes,
            hint_bytes_per_s: limits.hint_bytes_per_s,
            transfer_bytes_per_s: limits.transfer_bytes_per_s,
            start_wait_s: limits.start_wait.as_secs(),
            checkpoint_interval_s: 60,
            free_reserve_bytes: 512 << 20,
        }
    }
}

impl fmt::Debug for Settings {
    /// As TOML would say it; a secret is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.clone();
        shown.token_secret = shown.token_secret.map(|_| "(set)".into());
        match serde_json::to_string(&shown) {
            Ok(text) => f.write_str(&text),
            Err(_) => Err(fmt::Error),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, the environment or a flag cannot be read, or names what does not exist.
    #[error("configuration: {}", described(.0))]
    Read(Box<figment::Error>),
    /// A value breaks its bound.
    #[error("configuration: {field}: {reason}")]
    Invalid {
        /// Which setting.
        field: &'static str,
        /// The bound.
        reason: String,
    },
}

/// What is wrong, for people: the setting, what it says, and where.
fn described(error: &figment::Error) -> String {
    let setting = error.path.last().cloned().unwrap_or_default();
    let wrong = match &error.kind {
        Kind::UnknownField(name, _) => format!("{name}: there is no such setting"),
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let kind = match expected.as_str() {
                "usize" | "u64" | "u32" | "u16" => "a whole number from 0",
                other => other,
            };
            format!("{setting}: {found} is not {kind}")
        }
        _ => return error.to_string(),
    };
    match error.metadata.as_ref().and_then(|metadata| metadata.source.as_ref()) {
        Some(place) => format!("{wrong} (in {place})"),
        None => wrong,
    }
}

impl Settings {
    /// Puts the sources together and checks the outcome.
    pub fn load(args: &Args) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        let file = args.config.clone().or_else(|| std::env::var_os("QUORATE_CONFIG").map(PathBuf::from));
        if let Some(file) = file {
            figment = figment.merge(Toml::file_exact(file));
        }
        // Only what is a setting: tools of this project share the prefix, and so may variables that a platform injects.
        let names = Self::names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let env = Env::prefixed("QUORATE_").only(&names);
        let settings: Self = figment
            .merge(env)
            .merge(Serialized::defaults(args))
            .extract()
            .map_err(|error| ConfigError::Read(Box::new(error)))?;
        settings.check()?;
        Ok(settings)
    }

    /// All settings, as the file names them; the environment has them in capitals, after `QUORATE_`.
    pub fn names() -> Vec<String> {
        let known = serde_json::to_value(Self::default()).unwrap_or_default();
        known.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    fn check(&self) -> Result<(), ConfigError> {
        bounded("key_bytes_max", self.key_bytes_max, 1, 64 << 10)?;
        bounded("value_bytes_max", self.value_bytes_max, 1, 64 << 20)?;
        bounded("threads", self.threads, 0, 256)?;
        bounded("client_operations_max", self.client_operations_max, 1, 1 << 20)?;
        let timeout_ms = usize::try_from(self.default_timeout_ms).unwrap_or(usize::MAX);
        bounded("default_timeout_ms", timeout_ms, 1, 60_000)?;
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        bounded("exchange_interval_ms", number(self.exchange_interval_ms), 20, 3_600_000)?;
        bounded("exchange_bytes_per_s", number(self.exchange_bytes_per_s), 1, 1 << 40)?;
        bounded("sweep_interval_s", number(self.sweep_interval_s), 1, 365 * 24 * 3600)?;
        bounded("sweep_bytes_per_s", number(self.sweep_bytes_per_s), 1, 1 << 40)?;
        bounded("message_age_ms", number(self.message_age_ms), 100, 24 * 3_600_000)?;
        bounded("hints_max", self.hints_max, 0, 1 << 30)?;
        bounded("hint_age_s", number(self.hint_age_s), 1, 365 * 24 * 3600)?;
        bounded("fallback_bytes_max", self.fallback_bytes_max, 0, 1 << 40)?;
        bounded("hint_bytes_per_s", number(self.hint_bytes_per_s), 1, 1 << 40)?;
        bounded("transfer_bytes_per_s", number(self.transfer_bytes_per_s), 1, 1 << 40)?;
        bounded("start_wait_s", number(self.start_wait_s), 1, 3600)?;
        bounded("weight", self.weight as usize, 1, 1 << 16)?;
        let least = number(quorate_storage::StoreOptions::CACHE_BYTES_MIN);
        bounded("store_cache_bytes", number(self.store_cache_bytes), least, 1 << 40)?;
        bounded("checkpoint_interval_s", number(self.checkpoint_interval_s), 1, 24 * 3600)?;
        for seed in &self.seeds {
            let address = seed.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            if !address.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)) {
                return Err(ConfigError::Invalid {
                    field: "seeds",
                    reason: format!("{seed:?} is not host:port"),
                });
            }
        }
        Ok(())
    }

    /// How many threads serve connections and turn the loop.
    pub fn threads_or_processors(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_BY_DEFAULT_MAX),
            threads => threads,
        }
    }

    /// The core's bounds.
    pub fn limits(&self) -> Limits {
        Limits {
            key_bytes: self.key_bytes_max,
            value_bytes: self.value_bytes_max,
            default_timeout: Duration::from_millis(self.default_timeout_ms),
            client_operations: self.client_operations_max,
            cache_bytes: self.cache_bytes,
            read_repair: self.read_repair,
            exchange_interval: Duration::from_millis(self.exchange_interval_ms),
            exchange_bytes_per_s: self.exchange_bytes_per_s,
            sweep_interval: Duration::from_secs(self.sweep_interval_s),
            sweep_bytes_per_s: self.sweep_bytes_per_s,
            message_age: Duration::from_millis(self.message_age_ms),
            hints: self.hints_max,
            hint_age: Duration::from_secs(self.hint_age_s),
            fallback_bytes: self.fallback_bytes_max,
            hint_bytes_per_s: self.hint_bytes_per_s,
            transfer_bytes_per_s: self.transfer_bytes_per_s,
            start_wait: Duration::from_secs(self.start_wait_s),
            ..Limits::default()
        }
    }
}

fn bounded(field: &'static str, value: usize, min: usize, max: usize) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Invalid { field, reason: format!("{value} is not from {min} to {max}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::result_large_err, reason = "the error is figment's")]
    fn flags_win_over_the_file_and_unknown_settings_are_named() {
        figment::Jail::expect_with(|jail| {
            jail.create_file(
                "node.toml",
                "grpc_listen = \"1.1.1.1:1\"\nhttp_listen = \"1.1.1.1:2\"\nunsafe_fault_injection = true",
            )?;
            jail.set_env("QUORATE_HTTP_LISTEN", "2.2.2.2:2");
            jail.set_env("QUORATE_PEER_LISTEN", "2.2.2.2:3");
            jail.set_env("QUORATE_EXAMPLE_PORT", "tcp://10.0.0.1:7700");
            let args = Args {
                config: Some("node.toml".into()),
                peer_listen: Some("3.3.3.3:3".into()),
                ..Args::default()
            };
            let settings = Settings::load(&args).map_err(|error| error.to_string())?;
            assert_eq!(settings.grpc_listen, "1.1.1.1:1");
            assert_eq!(settings.http_listen, "2.2.2.2:2");
            assert_eq!(settings.peer_listen, "3.3.3.3:3");
            assert!(settings.unsafe_fault_injection, "a flag that is not given says nothing");
            assert!(!Settings::default().unsafe_fault_injection);
            jail.create_file("node.toml", "grcp_listen = \"typo\"")?;
            let error = Settings::load(&args).expect_err("a typo").to_string();
            assert!(error.contains("grcp_listen: there is no such setting"), "{error}");
            assert!(error.contains("node.toml"), "{error}");
            jail.create_file("node.toml", "hints_max = -5")?;
            let error = Settings::load(&args).expect_err("below the bound").to_string();
            assert!(error.contains("hints_max: signed int `-5` is not a whole number from 0"), "{error}");
            jail.create_file("node.toml", "key_bytes_max = 0")?;
            let error = Settings::load(&args).expect_err("out of bounds").to_string();
            assert!(error.contains("key_bytes_max") && error.contains("1 to 65536"), "{error}");
            jail.create_file("node.toml", "hints_max = 0\nmessage_age_ms = 99")?;
            let error = Settings::load(&args).expect_err("out of bounds").to_string();
            assert!(error.contains("message_age_ms: 99 is not from 100 to 86400000"), "{error}");
            jail.set_env("QUORATE_MESSAGE_AGE_MS", "100");
            let limits = Settings::load(&args).map_err(|error| error.to_string())?.limits();
            assert_eq!((limits.hints, limits.message_age), (0, Duration::from_millis(100)));
            Ok(())
        });
    }

    #[test]
    fn seeds_are_addresses() {
        let load = |seed: &str| Settings::load(&Args { seeds: vec![seed.into()], ..Args::default() });
        for fine in ["host:7702", "10.0.0.1:1", "[::1]:7702"] {
            assert!(load(fine).is_ok(), "{fine}");
        }
        for wrong in ["foo", ":7702", "host:", "host:0", "host:70000", "http://host"] {
            let error = load(wrong).expect_err(wrong).to_string();
            assert!(error.contains(&format!("seeds: {wrong:?} is not host:port")), "{error}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let settings = Settings { token_secret: Some("hunter2".into()), ..Settings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
