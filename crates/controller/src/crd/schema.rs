//! What the derived schemas do not say by themselves.

use std::borrow::Cow;

use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::spec::AllowedSetting;

/// Kubernetes' own types come with descriptions that are many times longer than all of ours; `kubectl explain pod` has them.
pub(super) fn without_descriptions(schema: &mut Schema) {
    transform_subschemas(&mut strip, schema);
}

fn strip(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        object.remove("description");
    }
    transform_subschemas(&mut strip, schema);
}

/// A structural schema cannot say "number, text or boolean": this one says what none of these breaks.
impl JsonSchema for AllowedSetting {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AllowedSetting".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole number, a text or a boolean.",
            "x-kubernetes-preserve-unknown-fields": true,
            "multipleOf": 1,
            "maxItems": 0,
            "maxProperties": 0,
        })
    }
}
