//! Every container that is written or sent decodes, and is normal: sorted, covered by its own context, nothing twice.

use quorate_protocol::version::{Container, EncodedContainer};

use super::{Violation, violation};

pub(super) fn decode(encoded: &EncodedContainer) -> Result<Container, Violation> {
    let container = encoded
        .decode()
        .map_err(|error| violation("containers", format!("{error}: {}", encoded.0.escape_ascii())))?;
    // Equal containers have equal bytes, on which digests, caches and comparisons of replicas rest.
    if container.encode() != *encoded {
        return Err(violation("containers", format!("{container:?} is not encoded as it would be")));
    }
    Ok(container)
}
