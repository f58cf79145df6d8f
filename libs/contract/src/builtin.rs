//! The contracts that every hub knows, and the texts that a publisher needs.

/// A register's contract that is compiled into the hub.
#[derive(Clone, Copy, Debug)]
pub struct BuiltinContract {
    /// Name of the register.
    pub register: &'static str,
    /// An encoded `google.protobuf.FileDescriptorSet` with all imports and source info.
    pub descriptor_set: &'static [u8],
}

/// The registers that every hub knows: civil, land and health. Any other comes at run time.
pub fn builtin() -> &'static [BuiltinContract] {
    &[
        BuiltinContract { register: "civil", descriptor_set: include_bytes!(concat!(env!("OUT_DIR"), "/civil.binpb")) },
        BuiltinContract { register: "land", descriptor_set: include_bytes!(concat!(env!("OUT_DIR"), "/land.binpb")) },
        BuiltinContract {
            register: "health",
            descriptor_set: include_bytes!(concat!(env!("OUT_DIR"), "/health.binpb")),
        },
    ]
}

/// All `.proto` files that a publisher, or the author of a new register, needs: (path to import
/// it by, text), by path. `buf/validate/validate.proto` is among them.
pub fn export() -> &'static [(&'static str, &'static str)] {
    include!(concat!(env!("OUT_DIR"), "/texts.rs"))
}

/// The descriptor set of the kinds.
pub(crate) const KINDS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kinds.binpb"));
