//! Where an agent stands.

use crate::fields::Fields;
use crate::invalid::Invalid;
use crate::value::{Problem, Value};
use crate::write::ObjectWriter;

/// Where an agent stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Location {
    /// Two characters, such as an ISO 3166-1 code.
    pub country: String,
    /// Two to four characters, such as the second part of an ISO 3166-2 code.
    pub region: String,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
}

impl Location {
    pub(super) const FIELDS: [&str; 4] = ["country", "region", "latitude", "longitude"];

    pub(super) fn read(fields: Fields<'_, 4>) -> Result<Self, Invalid> {
        let [country, region, latitude, longitude] = fields.known;
        let location = Self {
            country: country.require(Self::read_country)?,
            region: region.require(Self::read_region)?,
            latitude: latitude.optional(Value::number)?,
            longitude: longitude.optional(Value::number)?,
        };
        fields.rest.refuse()?;
        Ok(location)
    }

    /// Reads a country.
    pub(crate) fn read_country(value: Value<'_>) -> Result<String, Problem> {
        value.sized_text(2, 2)
    }

    /// Reads a region.
    pub(crate) fn read_region(value: Value<'_>) -> Result<String, Problem> {
        value.sized_text(2, 4)
    }

    /// Writes the location as JSON, for a store to keep.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = ObjectWriter::new();
        object.string("country", &self.country).string("region", &self.region);
        for (name, degrees) in [("latitude", self.latitude), ("longitude", self.longitude)] {
            if let Some(degrees) = degrees {
                object.number(name, degrees);
            }
        }
        object.finish()
    }
}
