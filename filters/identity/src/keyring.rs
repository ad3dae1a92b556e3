//! Where the secrets of all filters stand in Redis.
//!
//! Made and rotated by the control plane, they reach a filter over its own link: no configuration, and
//! so no configuration dump, ever holds them.

use crate::unhex;

/// The name of the hash in Redis.
pub const KEYRING: &str = "sluice:keyring";
/// Its field with the key that user ids are hashed by.
pub const IDENTITY: &str = "identity";

/// Reads the key in a field.
///
/// # Errors
/// One sentence that names the field.
pub fn secret(field: &str, value: &[u8]) -> Result<[u8; 32], String> {
    unhex::<32>(value).ok_or_else(|| format!("{field} is not 64 hexadecimal digits"))
}
