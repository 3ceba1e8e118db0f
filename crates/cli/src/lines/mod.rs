//! Data as JSON lines: one key per line.
//!
//! `{"key": "...", "value": <any JSON>}`, the value kept byte for byte. Other bytes travel in base64:
//! `{"key_base64": "...", "value_base64": "...", "content_type": "..."}`. A key with several values has
//! `"siblings": [{...}, {...}]` in place of one. Beside a value, `"ttl_ms"` says how long it is to be shown: when it is
//! exported, what is left of its time; when it is imported, its time from then (0: it stays; absent: as the bucket says).

mod read;
mod write;

pub(crate) use read::{Line, LineValue, read};
pub(crate) use write::write;
