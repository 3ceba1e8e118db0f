//! `quorate get`.

use anyhow::Result;
use clap::Args;
use quorate_client::{Found, Get, Value};
use serde::Serialize;

use super::{KeyArg, connect, with_options};
use crate::args::{BucketAndQuorum, Global};
use crate::output::{self, Done, Format};
use crate::text::{
    self, Clock, KeyFields, ValueFields, content_type, context_text, key_line, readable, time,
};

/// Show the values of a key, and its context.
///
/// Several values are siblings: concurrent writes, which a put with the context shown replaces. Exits with 3 when there is no
/// value.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    key: KeyArg,
    #[command(flatten)]
    options: BucketAndQuorum,
}

pub(crate) async fn get(args: GetArgs, global: &Global) -> Result<Done> {
    let key = args.key.bytes()?;
    let get = with_options!(Get::new(key.clone()), args.options);
    let found = connect(global).await?.get(get).await?;
    match global.output {
        Format::Json => output::json(&FoundFields::new(&key, &found))?,
        Format::Table => show(&key, &found)?,
    }
    Ok(if found.is_absent() { Done::NotFound } else { Done::Ok })
}

#[derive(Serialize)]
struct FoundFields<'a> {
    status: &'static str,
    #[serde(flatten)]
    key: KeyFields<'a>,
    #[serde(flatten)]
    single: Option<ValueFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    siblings: Option<Vec<SiblingFields<'a>>>,
    primaries: u32,
    fallbacks: u32,
    context: String,
    vector_clock: Clock,
}

#[derive(Serialize)]
struct SiblingFields<'a> {
    #[serde(flatten)]
    value: ValueFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dot: Option<String>,
}

impl<'a> FoundFields<'a> {
    fn new(key: &'a [u8], found: &'a Found) -> Self {
        let sibling = |value: &'a Value| SiblingFields {
            value: ValueFields::new(value),
            expires_at_ms: value.expires_at_ms,
            dot: dot(value),
        };
        let (status, single, siblings) = match found.values.as_slice() {
            [] => ("not_found", None, None),
            [value] => ("success", Some(ValueFields::new(value)), None),
            values => ("conflict", None, Some(values.iter().map(sibling).collect())),
        };
        let expires_at_ms = match found.values.as_slice() {
            [value] => value.expires_at_ms,
            _ => None,
        };
        Self {
            expires_at_ms,
            primaries: found.primaries,
            fallbacks: found.fallbacks,
            status,
            key: KeyFields::new(key),
            single,
            siblings,
            context: context_text(&found.context),
            vector_clock: Clock::of(&found.context),
        }
    }
}

fn dot(value: &Value) -> Option<String> {
    value.dot.map(|dot| format!("{}:{}", dot.actor, dot.seq))
}

/// The values go to standard output, for programs too, and what is to say of them to standard error.
fn show(key: &[u8], found: &Found) -> Result<()> {
    if found.is_absent() {
        output::note(format!("{}: no value", key_line(key)));
    }
    let count = found.values.len();
    for (at, value) in found.values.iter().enumerate() {
        let which = if count > 1 { format!("sibling {} of {count}, ", at + 1) } else { String::new() };
        let written = dot(value).map_or(String::new(), |dot| format!(", written as {dot}"));
        let expires = value
            .expires_at_ms
            .map_or(String::new(), |expiry_ms| format!(", expires in {}", time(text::left_ms(expiry_ms))));
        output::note(format!("# {which}{}{written}{expires}", content_type(value)));
        output::line(readable(&value.bytes))?;
    }
    if !found.context.is_empty() {
        output::note(format!("# context: {}", context_text(&found.context)));
        output::note(format!("# clock:   {}", Clock::of(&found.context)));
    }
    Ok(())
}
