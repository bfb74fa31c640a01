//! What the API server said when it refused an object, without what came from a Secret.

use crate::domain::manifest::ResourceKey;

/// What the API server said, with every value that came from a Secret gone: for a Secret only the reason and the
/// fields are kept, since its validation messages quote values.
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
