//! The query string as `qs` 6.11 reads it.

/// Reads a query string, the part of the target behind the question mark.
pub fn parse(query: &[u8]) -> serde_json::Value {
    let _ = query;
    serde_json::Value::Object(serde_json::Map::new())
}
