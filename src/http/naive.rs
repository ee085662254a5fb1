//! Slow oracles.
