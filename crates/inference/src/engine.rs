//! How an engine is started.

use crate::config::EngineConfig;
use crate::error::{EngineError, Result};
use crate::handle::EngineHandle;
use crate::loaded::Models;
use crate::worker;

/// Starts engines.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// Starts the engine's thread, which calls `load` and then serves. Returns at once:
    /// [`EngineHandle::wait_ready`] tells when the models are loaded, or why they could not be.
    ///
    /// The engine ends when [`EngineHandle::shutdown`] is called or every handle has been dropped.
    ///
    /// # Errors
    /// A limit of 0 in `config`; a thread that can't be started.
    pub fn start(
        load: impl FnOnce() -> Result<Models> + Send + 'static,
        config: EngineConfig,
    ) -> Result<EngineHandle> {
        config.validate()?;
        let (handle, shared) = EngineHandle::new(config);
        std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || worker::main(load, &shared))
            .map_err(|e| EngineError::Unsupported(format!("the engine's thread can't be started: {e}")))?;
        Ok(handle)
    }
}
