//! The wire format of Quorate: types generated from `proto/`, and their conversion to protocol types.

pub mod convert;

/// The client surface: `Kv` and `Admin`.
#[expect(clippy::allow_attributes_without_reason, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("quorate.v1");
}

/// How nodes talk to each other.
pub mod peer {
    /// The peer surface: `Peer/Link`.
    #[expect(clippy::allow_attributes_without_reason, reason = "generated code")]
    pub mod v1 {
        tonic::include_proto!("quorate.peer.v1");
    }
}

/// The encoded `FileDescriptorSet` of all files, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
