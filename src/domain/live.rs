//! An object as a cluster holds it.

use std::fmt;

use serde_json::Value;

use super::OWNER_LABEL;

/// An object as a cluster holds it or, in a prediction, would hold it; with the data of Secrets. Its
/// fields can be read, but it can be neither printed nor serialized: what people see of it is made
/// by [`Mask`](super::mask::Mask). No function takes it for the desired object, which is JSON of the
/// same shape.
#[derive(Clone, PartialEq)]
pub struct Live(Value);

impl Live {
    /// An answer of the API server or an estimate of one, with `apiVersion` and `kind`.
    pub fn new(object: Value) -> Self {
        Self(object)
    }

    /// The JSON, for a request to the server.
    pub fn into_value(self) -> Value {
        self.0
    }

    pub fn uid(&self) -> Option<&str> {
        self.0["metadata"]["uid"].as_str()
    }

    /// None: it was not read from the server; it stands for an object that the index knows.
    pub fn resource_version(&self) -> Option<&str> {
        self.0["metadata"]["resourceVersion"].as_str()
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.0["metadata"]["labels"][name].as_str()
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.0["metadata"]["annotations"][name].as_str()
    }

    /// Whether it has the label of this application: [`OWNER_LABEL`].
    pub fn is_owned_by(&self, owner: &str) -> bool {
        self.label(OWNER_LABEL) == Some(owner)
    }

    /// Whether its deletion began: it stays until its finalizers are done.
    pub fn is_being_deleted(&self) -> bool {
        self.0["metadata"]["deletionTimestamp"].is_string()
    }
}

impl std::ops::Deref for Live {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl std::ops::DerefMut for Live {
    fn deref_mut(&mut self) -> &mut Value {
        &mut self.0
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let metadata = &self.0["metadata"];
        let place = (text(&metadata["namespace"]), text(&metadata["name"]));
        write!(f, "Live({} {}/{})", text(&self.0["kind"]), place.0, place.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_its_data_is_printed() {
        let live = Live::new(serde_json::json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "db", "namespace": "shop", "uid": "u1",
                "labels": {OWNER_LABEL: "0011223344556677"},
                "annotations": {"note": "s3cret"}},
            "data": {"password": "czNjcmV0"},
        }));
        assert_eq!(format!("{live:?}"), "Live(Secret shop/db)");
        assert_eq!(live.uid(), Some("u1"));
        assert!(live.is_owned_by("0011223344556677") && !live.is_owned_by(""));
        assert!(live.resource_version().is_none() && !live.is_being_deleted());
    }
}
