//! The two ways in which daemons in the field speak.

/// Which spelling a peer uses. The server tells it by the peer's first message, and it holds
/// for the life of a session; beyond the codec nothing depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Dialect {
    /// The one that the seed describes.
    #[default]
    Seed,
    /// Daemons released since 2020: other code numbers, and some answers bear the name of
    /// their request.
    Centreon,
}
