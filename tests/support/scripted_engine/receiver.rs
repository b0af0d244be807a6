//! The receiving end of FileSync, at the speed that a test wants (fsutil, `receive.go`).

use std::collections::BTreeMap;

use bollard::fsutil::types::Packet;
use bollard::fsutil::types::packet::PacketType;
use bollard::moby::filesync::v1::file_sync_client::FileSyncClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// A transfer of one directory.
pub(crate) struct Receiver {
    requests: mpsc::Sender<Packet>,
    packets: Streaming<Packet>,
}

impl Receiver {
    /// Begins the transfer of `context` or `dockerfile`.
    pub(crate) async fn begin(session: Channel, directory: &str) -> Result<Self, Status> {
        let (requests, waiting) = mpsc::channel(1024);
        let mut request = Request::new(ReceiverStream::new(waiting));
        request.metadata_mut().insert("dir-name", directory.parse().unwrap());
        let packets = FileSyncClient::new(session).diff_copy(request).await?.into_inner();
        Ok(Self { requests, packets })
    }

    /// The next packet; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Packet>, Status> {
        self.packets.message().await
    }

    /// Asks for the bytes of an entry, by its place in the listing.
    pub(crate) async fn ask(&self, id: u32) {
        self.send(PacketType::PacketReq, id).await;
    }

    /// The paths of all entries, in order.
    pub(crate) async fn list(&mut self) -> Result<Vec<String>, Status> {
        let mut paths = Vec::new();
        while let Some(packet) = self.next().await? {
            match packet.stat {
                Some(stat) => paths.push(stat.path),
                None => break,
            }
        }
        Ok(paths)
    }

    /// Everything that there is, then the polite end.
    pub(crate) async fn all(mut self) -> Result<BTreeMap<String, Vec<u8>>, Status> {
        let paths = self.list().await?;
        let mut files = BTreeMap::new();
        for (id, path) in paths.into_iter().enumerate() {
            let id = u32::try_from(id).unwrap();
            self.ask(id).await;
            let content: &mut Vec<u8> = files.entry(path).or_default();
            while let Some(packet) = self.next().await?.filter(|packet| !packet.data.is_empty()) {
                content.extend_from_slice(&packet.data);
            }
        }
        self.end().await?;
        Ok(files)
    }

    /// The polite end.
    pub(crate) async fn end(mut self) -> Result<(), Status> {
        self.send(PacketType::PacketFin, 0).await;
        while self.next().await?.is_some() {}
        Ok(())
    }

    async fn send(&self, kind: PacketType, id: u32) {
        drop(self.requests.send(Packet { r#type: kind.into(), id, ..Packet::default() }).await);
    }
}
