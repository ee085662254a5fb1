//! What a connection needs of its stream, so that the same code serves a socket and a simulated peer.

use std::io;

use crate::buffer::Buf;
use crate::io::{Interrupt, Stream};

/// One connection's bytes, both ways.
pub(super) trait Transport {
    /// Reads at most `limit` bytes behind the filled part of `buf`; 0 at the end of the stream.
    async fn read(&mut self, buf: Buf, limit: usize, interrupt: &Interrupt) -> (io::Result<usize>, Buf);

    /// Writes all of `bytes`.
    async fn write(&mut self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>);

    /// Waits until there is something to read.
    async fn readable(&self) -> io::Result<()>;

    /// Whether a read would find bytes at once.
    fn has_bytes(&self) -> bool;

    /// Ends the sending side.
    fn shutdown_write(&mut self);
}

impl Transport for Stream {
    #[inline]
    async fn read(&mut self, buf: Buf, limit: usize, interrupt: &Interrupt) -> (io::Result<usize>, Buf) {
        Stream::read(self, buf, limit, interrupt).await
    }

    #[inline]
    async fn write(&mut self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        Stream::write(self, bytes).await
    }

    async fn readable(&self) -> io::Result<()> {
        Stream::readable(self).await
    }

    fn has_bytes(&self) -> bool {
        Stream::has_bytes(self)
    }

    fn shutdown_write(&mut self) {
        Stream::shutdown_write(self);
    }
}
