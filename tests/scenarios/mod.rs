//! Scenarios, one file an area, the basic ones first in each.

mod cache;
