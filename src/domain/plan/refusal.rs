//! The API server's message about a refused object, without secret values.

use crate::domain::manifest::ResourceKey;

/// The API server's message without secret values. For a Secret only the reason and the fields are
/// kept, since its validation messages quote values.
pub fn refusal(key: &ResourceKey, reason: &str, message: &str, fields: &[String]) -> String {
    if key.kind == "Secret" {
        let fields = if fields.is_empty() {
            String::new()
        } else {
            format!(" at {}", fields.join(", "))
        };
        return format!(
            "{reason}{fields} (the server's message is not shown: it may quote secret values)"
        );
    }
    message.to_string()
}
