//! Data as JSON lines: one key per line.
//!
//! `{"key": "...", "value": <any JSON>}`, the value kept byte for byte. Other bytes travel in base64:
//! `{"key_base64": "...", "value_base64": "...", "content_type": "..."}`. A key with several values has
//! `"siblings": [{...}, {...}]` in place of one.

mod read;
mod write;

pub(crate) use read::{Line, read};
pub(crate) use write::write;
