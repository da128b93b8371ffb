//! What stands in the columns of a row.

use sqlx::{Any, Decode, Row as _, Type, any::AnyRow};

use super::{
    super::record::{LimitStatus, member},
    StoreError,
};
use crate::vocabulary::Closed;

/// What a column holds.
pub(in crate::tenants) fn get<'r, T>(row: &'r AnyRow, column: &'static str) -> Result<T, StoreError>
where
    T: Decode<'r, Any> + Type<Any>,
{
    Ok(row.try_get(column)?)
}

/// A column that holds the word of a closed list.
pub(super) fn word<L: Closed>(row: &AnyRow, column: &'static str) -> Result<L, StoreError> {
    let word: String = get(row, column)?;
    member(&word).ok_or_else(|| meaningless(column, &word))
}

/// A column that holds the word of a closed list, or nothing.
pub(super) fn word_or_none<L: Closed>(
    row: &AnyRow,
    column: &'static str,
) -> Result<Option<L>, StoreError> {
    let word: Option<String> = get(row, column)?;
    word.map(|word| member(&word).ok_or_else(|| meaningless(column, &word))).transpose()
}

/// A column that holds a number in the range of another type, or nothing.
pub(super) fn number<N: TryFrom<i64>>(
    row: &AnyRow,
    column: &'static str,
) -> Result<Option<N>, StoreError> {
    let number: Option<i64> = get(row, column)?;
    let narrow = |number| N::try_from(number).map_err(|_| meaningless(column, &number.to_string()));
    number.map(narrow).transpose()
}

/// The status of limited requests that stands in a column.
pub(super) fn limit_status(code: i64) -> Result<LimitStatus, StoreError> {
    let status = u16::try_from(code).ok().and_then(LimitStatus::from_code);
    status.ok_or_else(|| meaningless("limit_status", &code.to_string()))
}

pub(super) fn meaningless(column: &'static str, value: &str) -> StoreError {
    StoreError::Meaningless { column, value: value.to_owned() }
}
