//! A cluster's errors for people at a terminal: without the types of a program. Only what is said
//! of windlass's own objects gets there.

/// What an error says, and what to do about it.
pub fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            "the cluster does not accept these credentials: log in again, or choose another --context"
                .into()
        }
        // Of the whole kind, not of one object.
        kube::Error::Api(status) if status.code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty()) => {
            "windlass is not installed in this cluster: it serves no applications.windlass.dev".into()
        }
        kube::Error::Api(status) => status.message.clone(),
        other => {
            let mut deepest: &dyn std::error::Error = other;
            while let Some(source) = deepest.source() {
                deepest = source;
            }
            format!("the cluster cannot be reached: {deepest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn types_of_the_program_are_not_shown() {
        let api = |code: u16, name: &str, message: &str| {
            let details = serde_json::json!({"name": name});
            let status = serde_json::json!({"code": code, "message": message, "details": details});
            let status: Status = serde_json::from_value(status).unwrap();
            words(&kube::Error::Api(Box::new(status)))
        };
        for (code, name, message, expected) in [
            (
                403,
                "",
                "applications is forbidden",
                "applications is forbidden",
            ),
            (
                404,
                "shop.nope",
                "applications \"shop.nope\" not found",
                "applications \"shop.nope\" not found",
            ),
            (
                404,
                "",
                "the server could not find the requested resource",
                "windlass is not installed in this cluster: it serves no applications.windlass.dev",
            ),
            (
                401,
                "",
                "Unauthorized",
                "the cluster does not accept these credentials: log in again, or choose another --context",
            ),
        ] {
            assert_eq!(api(code, name, message), expected);
        }
    }
}
