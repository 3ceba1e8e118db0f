//! Why a resource cannot be made so.

/// Why a resource cannot be made so. Only an edit of the resource changes that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The resource does not come from an API server.
    #[error("{field} is missing")]
    Incomplete {
        /// What every stored object has.
        field: &'static str,
    },
    /// A setting of the nodes that has no place in `spec.settings`.
    #[error("spec.settings.{name}: {reason}")]
    Setting {
        /// The setting.
        name: String,
        /// Why it is refused.
        reason: String,
    },
    /// Something beside the operator's own that is the operator's own.
    #[error("spec.podTemplate.{field}: {name:?} is set by the operator itself")]
    Reserved {
        /// `labels`, `annotations` or `env`.
        field: &'static str,
        /// The label, annotation or variable.
        name: String,
    },
}
