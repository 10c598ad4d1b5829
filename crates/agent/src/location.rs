//! Where an agent is.

use serde::{Deserialize, Serialize};

/// Where an agent is, as AFMs and the tasks that ask for a place know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// The country: 2 characters.
    pub country: String,
    /// The region within the country: 2 to 4 characters.
    pub region: String,
    /// Degrees, north is positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees, east is positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
}
