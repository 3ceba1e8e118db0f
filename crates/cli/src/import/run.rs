//! Carrying an import out.

use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use quorate_client::{Client, Context, Error, Get, OperationId, Options, Put, Session};
use quorate_proto::convert::kv::ttl_to_wire;
use serde_json::json;
use tokio::time::MissedTickBehavior;
use xxhash_rust::xxh3::Xxh3Default;

use super::ImportArgs;
use super::checkpoint::{self, Checkpoint, Mark};
use super::done::Done;
use super::source::{self, Groups, Parsed};
use crate::args::Global;
use crate::lines::{Line, LineValue};
use crate::output::{self, Done as Ended, Format};
use crate::patience::patiently;
use crate::progress::{Progress, Unit};

const SHOW_EVERY: Duration = Duration::from_millis(200);
const SAVE_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: ImportArgs, global: &Global) -> Result<Ended> {
    let (input, size) = source::open(&args.input)?;
    let _lock = args.resume.as_deref().map(checkpoint::lock).transpose()?;
    let checkpoint = checkpoint(&args)?;
    let in_flight = usize::from(args.in_flight);
    let options = Options { session_in_flight: in_flight, ..Options::default() };
    let client = Client::connect_with(global.endpoint.iter().cloned(), options).await?;
    let from = checkpoint.done;
    let mut import = Import {
        putter: Putter {
            session: client.session(),
            import: checkpoint.import()?,
            args: &args,
            retries: Cell::new(0),
        },
        done: Done::from(from),
        checkpoint,
        progress: Progress::new("import", size.map_or(Unit::Unknown, Unit::BytesOf)),
    };
    // Before the first line goes out: a run that is killed at once must leave its name behind, for the operation ids of
    // its lines follow from it.
    import.save()?;
    let result = import.run(source::start(input, from)).await;
    // What is done is done, also when the rest is not.
    import.save()?;
    let Import { putter, done, progress, .. } = import;
    let elapsed = progress.finish();
    if let Err(error) = result {
        let done = done.mark().lines;
        let how = match &args.resume {
            Some(_) => "the same command goes on there".to_owned(),
            None => "with --resume FILE another run could go on there".to_owned(),
        };
        return Err(error.context(format!("stopped; the first {done} lines are stored, and {how}")));
    }
    report(from, done.mark(), elapsed, putter.retries.get(), global.output)?;
    Ok(Ended::Ok)
}

/// The one to go on from, or a new one.
fn checkpoint(args: &ImportArgs) -> Result<Checkpoint> {
    let known = args.resume.as_deref().map(Checkpoint::load).transpose()?.flatten();
    match known {
        None => Ok(Checkpoint::new(rand::random(), &args.options.bucket)),
        Some(known) if known.bucket != args.options.bucket => {
            let name = |bucket: &str| {
                if bucket.is_empty() { "the default bucket".into() } else { bucket.to_owned() }
            };
            bail!(
                "--bucket: the checkpoint is of an import into {}, not {}",
                name(&known.bucket),
                name(&args.options.bucket)
            )
        }
        Some(known) => Ok(known),
    }
}

fn report(from: Mark, to: Mark, elapsed: Duration, retries: u64, format: Format) -> Result<()> {
    let (lines, bytes) = (to.lines - from.lines, to.bytes - from.bytes);
    let seconds = elapsed.as_secs_f64();
    let per_second = lines as f64 / seconds;
    if format == Format::Json {
        return output::json(&json!({
            "lines": lines,
            "bytes": bytes,
            "lines_before": from.lines,
            "seconds": seconds,
            "lines_per_second": per_second,
            "retries": retries,
        }));
    }
    let repeated = if retries > 0 { format!(", {retries} errors waited out") } else { String::new() };
    let before = if from.lines > 0 { format!(", after {} done before", from.lines) } else { String::new() };
    output::line(format!(
        "imported {lines} lines ({}) in {seconds:.1} s{before}: {per_second:.0} lines/s{repeated}",
        output::bytes(bytes)
    ))
}

struct Import<'a> {
    putter: Putter<'a>,
    done: Done,
    checkpoint: Checkpoint,
    progress: Progress,
}

impl Import<'_> {
    async fn run(&mut self, mut groups: Groups) -> Result<()> {
        let in_flight = usize::from(self.putter.args.in_flight);
        let mut waiting: VecDeque<Parsed> = VecDeque::new();
        let mut input_ended: Option<Result<()>> = None;
        let mut busy: HashSet<Bytes> = HashSet::new();
        let mut running = FuturesUnordered::new();
        let mut tick = tokio::time::interval(SHOW_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut saved_at = Instant::now();
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        let putter = &self.putter;
        loop {
            while running.len() < in_flight
                // Two lines of one key never overlap: the order of the input decides.
                && waiting.front().is_some_and(|next| !busy.contains(&next.line.key))
                && let Some(next) = waiting.pop_front()
            {
                self.done.begin(next.end);
                busy.insert(next.line.key.clone());
                running.push(putter.put_line(next));
            }
            if running.is_empty()
                && waiting.is_empty()
                && let Some(ended) = input_ended
            {
                return ended;
            }
            tokio::select! {
                Some((line, key, result)) = running.next() => {
                    result.with_context(|| format!("line {line}"))?;
                    busy.remove(&key);
                    self.done.finish(line);
                }
                group = groups.recv(), if waiting.is_empty() && input_ended.is_none() => match group {
                    Some(Ok(group)) => waiting.extend(group),
                    Some(Err(error)) => input_ended = Some(Err(error)),
                    None => input_ended = Some(Ok(())),
                },
                _ = tick.tick() => {
                    let mark = self.done.mark();
                    let retries = putter.retries.get();
                    self.progress.set(mark.bytes, &|| match retries {
                        0 => format!("{} lines", mark.lines),
                        _ => format!("{} lines, {retries} errors waited out", mark.lines),
                    });
                    if saved_at.elapsed() >= SAVE_EVERY {
                        saved_at = Instant::now();
                        save(&mut self.checkpoint, &self.done, putter.args.resume.as_deref())?;
                    }
                }
                _ = &mut interrupted => bail!("interrupted"),
            }
        }
    }

    fn save(&mut self) -> Result<()> {
        save(&mut self.checkpoint, &self.done, self.putter.args.resume.as_deref())
    }
}

fn save(checkpoint: &mut Checkpoint, done: &Done, path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    checkpoint.done = done.mark();
    checkpoint.save(path)
}

struct Putter<'a> {
    session: Session,
    import: u128,
    args: &'a ImportArgs,
    retries: Cell<u64>,
}

impl Putter<'_> {
    async fn put_line(&self, parsed: Parsed) -> (u64, Bytes, Result<()>) {
        let number = parsed.end.lines;
        let result = self.put_values(number, &parsed.line).await;
        (number, parsed.line.key, result)
    }

    async fn put_values(&self, number: u64, line: &Line) -> Result<()> {
        let mut context = if self.args.beside { Context::default() } else { self.read(&line.key).await? };
        for (at, value) in line.values.iter().enumerate() {
            let operation = operation_id(self.import, number, at, line);
            // All values of a line carry the same context, so that they become siblings.
            let put = |context: &Context| {
                Put::new(line.key.clone(), value.bytes.clone())
                    .bucket(&self.args.options.bucket)
                    .quorum(self.args.options.quorum())
                    .timeout(self.args.options.timeout)
                    .content_type(&value.content_type)
                    .ttl(value.ttl)
                    .context(context.clone())
                    .operation(operation)
            };
            let mut result = self.patiently(async || self.session.put(put(&context)).await).await;
            if let Err(error) = &result
                && error.reason().is_read_first()
                && !self.args.beside
            {
                context = self.read(&line.key).await?;
                result = self.patiently(async || self.session.put(put(&context)).await).await;
            }
            result.map_err(|error| explained(error, self.args.beside))?;
        }
        Ok(())
    }

    async fn read(&self, key: &Bytes) -> Result<Context> {
        let get = || {
            Get::new(key.clone())
                .bucket(&self.args.options.bucket)
                .quorum(self.args.options.quorum())
                .timeout(self.args.options.timeout)
        };
        Ok(self.patiently(async || self.session.get(get()).await).await?.context)
    }

    async fn patiently<T>(&self, attempt: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
        let count = |_: &Error| self.retries.set(self.retries.get() + 1);
        patiently(self.args.give_up_after, attempt, count).await
    }
}

fn explained(error: Error, beside: bool) -> anyhow::Error {
    if error.reason().is_read_first() && beside {
        return anyhow!("{error}; without --beside, import does so");
    }
    error.into()
}

/// The same for the same value of the same line of the same import, whoever repeats it and when. The content is part
/// of it, for the lines after a checkpoint may be edited before the import goes on.
fn operation_id(import: u128, line_number: u64, value_number: usize, line: &Line) -> OperationId {
    let LineValue { bytes, content_type, ttl } = &line.values[value_number];
    let mut hasher = Xxh3Default::new();
    hasher.update(&import.to_le_bytes());
    hasher.update(&line_number.to_le_bytes());
    hasher.update(&(value_number as u64).to_le_bytes());
    for part in [line.key.as_ref(), content_type.as_bytes(), bytes] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    if let Some(ttl_ms) = ttl_to_wire(*ttl) {
        hasher.update(&ttl_ms.to_le_bytes());
    }
    OperationId(hasher.digest128())
}

#[cfg(test)]
mod tests {
    use quorate_client::Ttl;

    use super::*;

    #[test]
    fn operation_ids_differ_where_operations_do() {
        let one = |value: &'static str, ttl| LineValue { bytes: value.into(), content_type: "t".into(), ttl };
        let line = |key: &'static str, value: &'static str| Line {
            key: key.into(),
            values: vec![one(value, Ttl::Bucket), one(value, Ttl::Bucket)],
        };
        let id = operation_id(1, 1, 0, &line("k", "v"));
        assert_eq!(id, operation_id(1, 1, 0, &line("k", "v")));
        for other in [
            operation_id(2, 1, 0, &line("k", "v")),
            operation_id(1, 2, 0, &line("k", "v")),
            operation_id(1, 1, 1, &line("k", "v")),
            operation_id(1, 1, 0, &line("k", "w")),
            operation_id(1, 1, 0, &line("kt", "v")),
            operation_id(1, 1, 0, &Line { key: "k".into(), values: vec![one("v", Ttl::Never)] }),
        ] {
            assert_ne!(id, other);
        }
    }
}
