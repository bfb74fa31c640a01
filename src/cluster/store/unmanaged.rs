//! What people set on an application's objects beside Git, as its status has it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::ownership::UnmanagedFields;

/// An object with what a person set on it beside Git.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unmanaged {
    pub object: String,
    #[serde(flatten)]
    pub fields: UnmanagedFields,
}
