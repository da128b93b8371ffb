//! The connection to the database, and one transaction on it.
//!
//! Commands and threads that may block ask the store, never the request path; so what is asked here
//! is waited for in place, each statement within a bound. The connection lives in a runtime of its
//! own, because a command has none.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use secrecy::ExposeSecret;
use sqlx::{
    Any, AnyConnection, AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr, Transaction,
    any::{AnyArguments, AnyRow},
    query::Query,
};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{StoreError, backend::Backend, location::Location};

/// A statement with its parameters.
pub(in crate::tenants) type Statement<'q> = Query<'q, Any, AnyArguments>;

/// An open connection.
pub(super) struct Link {
    /// None only while it is dropped.
    connection: Option<AnyConnection>,
    /// Likewise.
    runtime: Option<Runtime>,
    backend: Backend,
    patience: Duration,
}

/// A transaction; whoever drops it without a commit has changed nothing.
pub(in crate::tenants) struct Session<'a> {
    transaction: RefCell<Transaction<'a, Any>>,
    runtime: &'a Runtime,
    backend: Backend,
    patience: Duration,
    /// Whether it changes anything.
    writes: bool,
    /// Whether the database did not answer once. It is not waited for again.
    silent: Cell<bool>,
}

impl Link {
    /// Connects; each wait ends after `patience`.
    pub(super) fn open(location: &Location, patience: Duration) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let failed = |source| StoreError::Open { place: location.clone(), source };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(sqlx::Error::Io(error)))?;
        let mut link = Self {
            connection: None,
            runtime: Some(runtime),
            backend: location.backend(),
            patience,
        };
        let (url, prelude) = (location.url(), link.backend.prelude(patience));
        let connected = link.wait(async {
            let mut connection = AnyConnection::connect(url.expose_secret()).await?;
            // Ours, and no part of it is anybody's input.
            connection.execute(sqlx::raw_sql(AssertSqlSafe(prelude))).await?;
            Ok(connection)
        });
        link.connection = Some(connected.map_err(|error| match error {
            StoreError::Database(source) => failed(source),
            other => other,
        })?);
        Ok(link)
    }

    /// What is asked.
    pub(super) fn backend(&self) -> Backend {
        self.backend
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self, statement: &'static str) -> Result<Session<'_>, StoreError> {
        let Self { connection, runtime, backend, patience } = self;
        let (backend, patience) = (*backend, *patience);
        let (Some(connection), Some(runtime)) = (connection, runtime) else {
            unreachable!("both are there until the link is dropped")
        };
        let transaction = wait(runtime, patience, connection.begin_with(statement))?;
        let (transaction, silent) = (RefCell::new(transaction), Cell::new(false));
        let writes = statement == backend.begin_write();
        Ok(Session { transaction, runtime, backend, patience, writes, silent })
    }

    fn wait<T: Send>(
        &self,
        future: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> Result<T, StoreError> {
        let Some(runtime) = &self.runtime else {
            unreachable!("it is there until the link is dropped")
        };
        wait(runtime, self.patience, future)
    }
}

impl Session<'_> {
    /// What is asked.
    pub(in crate::tenants) fn backend(&self) -> Backend {
        self.backend
    }

    /// How many rows a statement has changed.
    pub(in crate::tenants) fn execute(&self, statement: Statement<'_>) -> Result<u64, StoreError> {
        let mut transaction = self.transaction.borrow_mut();
        let done = self.wait(statement.execute(&mut **transaction))?;
        Ok(done.rows_affected())
    }

    /// The first row, if there is one.
    pub(in crate::tenants) fn first<T>(
        &self,
        statement: Statement<'_>,
        read: impl FnOnce(&AnyRow) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut transaction = self.transaction.borrow_mut();
        let row = self.wait(statement.fetch_optional(&mut **transaction))?;
        row.as_ref().map(read).transpose()
    }

    /// All rows, read one by one: as rows they are many times as large as what is read from them.
    pub(in crate::tenants) fn all<T: Send>(
        &self,
        statement: Statement<'_>,
        read: impl Fn(&AnyRow) -> Result<T, StoreError> + Sync,
    ) -> Result<Vec<T>, StoreError> {
        use futures_util::TryStreamExt as _;
        let mut transaction = self.transaction.borrow_mut();
        let mut rows = statement.fetch(&mut **transaction);
        let read_all = async {
            let mut found = Vec::new();
            while let Some(row) = rows.try_next().await? {
                match read(&row) {
                    Ok(one) => found.push(one),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(found))
        };
        self.wait(read_all)?
    }

    /// Statements without parameters.
    pub(in crate::tenants) fn script(&self, text: impl SqlSafeStr) -> Result<(), StoreError> {
        let mut transaction = self.transaction.borrow_mut();
        self.wait(transaction.execute(sqlx::raw_sql(text))).map(drop)
    }

    /// Makes tables, which are written for SQLite.
    pub(in crate::tenants) fn make_tables(&self, text: &str) -> Result<(), StoreError> {
        // Ours, and no part of it is anybody's input.
        self.script(AssertSqlSafe(self.backend.tables(text)))
    }

    /// Makes what was done last, or undoes it where it failed: the database would else hold the turn
    /// of others until the connection is used again.
    pub(in crate::tenants) fn end<T, E: From<StoreError>>(
        self,
        done: Result<T, E>,
    ) -> Result<T, E> {
        let Self { transaction, runtime, patience, writes, silent, .. } = self;
        let transaction = transaction.into_inner();
        match done {
            Ok(done) => {
                let committed = wait(runtime, patience, transaction.commit());
                #[cfg(test)]
                let committed = committed.and_then(|()| loss::of_a_reply(patience));
                match committed {
                    Ok(()) => Ok(done),
                    Err(error) if writes && !is_refusal(&error) => {
                        Err(StoreError::Unsettled(Box::new(error)).into())
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => {
                if !silent.get() {
                    // What has failed says more than that this failed, too.
                    let _ = wait(runtime, patience, transaction.rollback());
                }
                Err(error)
            }
        }
    }

    fn wait<T: Send>(
        &self,
        future: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> Result<T, StoreError> {
        let ended = wait(self.runtime, self.patience, future);
        if let Err(StoreError::TimedOut { .. }) = &ended {
            self.silent.set(true);
        }
        ended
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The connection goes first, because it lives in the runtime; and the runtime may not wait
        // for anything where it is dropped.
        self.connection = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("backend", &self.backend).finish_non_exhaustive()
    }
}

fn wait<T: Send>(
    runtime: &Runtime,
    patience: Duration,
    future: impl Future<Output = sqlx::Result<T>> + Send,
) -> Result<T, StoreError> {
    let bounded = async { tokio::time::timeout(patience, future).await };
    let ended = if Handle::try_current().is_ok() {
        // The thread belongs to another runtime, which does not let it wait for this one.
        let waited = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(bounded)).join());
        waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    } else {
        runtime.block_on(bounded)
    };
    Ok(ended.map_err(|_| StoreError::TimedOut { after: patience })??)
}

/// Whether the database itself said that it did not do it. An error of class 57 says that it went
/// away meanwhile.
fn is_refusal(error: &StoreError) -> bool {
    matches!(error, StoreError::Database(sqlx::Error::Database(error))
        if error.code().is_none_or(|code| !code.starts_with("57")))
}

/// A reply that is lost on its way, for tests.
#[cfg(test)]
pub(in crate::tenants) mod loss {
    use super::*;

    thread_local! {
        static NEXT: Cell<bool> = const { Cell::new(false) };
    }

    /// The reply to the next commit of this thread does not arrive.
    pub(in crate::tenants) fn of_the_next_reply() {
        NEXT.set(true);
    }

    pub(super) fn of_a_reply(after: Duration) -> Result<(), StoreError> {
        if NEXT.take() { Err(StoreError::TimedOut { after }) } else { Ok(()) }
    }
}
