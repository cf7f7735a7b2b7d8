//! Mistakes that the compiler finds, each beside what is right. A stable compiler does not check the codes of the errors:
//! `RUSTC_BOOTSTRAP=1 cargo test --doc mistakes` does.
//!
//! All of these begin with the same channel, which compiles:
//!
//! ```
//! use lapwing::{Channel, Context, Failure, Handled, Joining, Mount, Payload, Receive, Sender, Topic, noreply, reply};
//! struct Db;
//! struct Room;
//! impl Channel for Room {
//!     type State = Db;
//!     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
//! }
//! impl Receive<u32> for Room {
//!     async fn handle_info(&mut self, _: u32, _: &Context<Self>) -> Handled { Ok(noreply()) }
//! }
//! fn send(sender: Sender<Room>) { let _ = sender.send(1_u32); }
//! let mount = Mount::new().channel::<Room>("room:*", Db);
//! let mount = Mount::new().channel::<Room>("room:*", std::sync::Arc::new(Db));
//! ```
//!
//! A route without its state:
//!
//! ```compile_fail,E0061
//! # use lapwing::{Channel, Failure, Joining, Mount, Payload, Topic};
//! # struct Db;
//! # struct Room;
//! # impl Channel for Room {
//! #     type State = Db;
//! #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
//! # }
//! let mount = Mount::new().channel::<Room>("room:*");
//! ```
//!
//! A route with the state of another channel:
//!
//! ```compile_fail,E0277
//! # use lapwing::{Channel, Failure, Joining, Mount, Payload, Topic};
//! # struct Db;
//! # struct Room;
//! # impl Channel for Room {
//! #     type State = Db;
//! #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
//! # }
//! let mount = Mount::new().channel::<Room>("room:*", "another".to_owned());
//! ```
//!
//! No state, for a channel that has one:
//!
//! ```compile_fail,E0277
//! # use lapwing::{Channel, Failure, Joining, Mount, Payload, Topic};
//! # struct Db;
//! # struct Room;
//! # impl Channel for Room {
//! #     type State = Db;
//! #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
//! # }
//! let mount = Mount::new().channel::<Room>("room:*", ());
//! ```
//!
//! A state that threads cannot share:
//!
//! ```compile_fail,E0277
//! # use lapwing::{Channel, Failure, Joining, Mount, Payload, Topic};
//! # struct Room;
//! impl Channel for Room {
//!     type State = std::rc::Rc<u32>;
//! #   async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
//! }
//! ```
//!
//! A channel that does not say what its joins share:
//!
//! ```compile_fail,E0046
//! # use lapwing::{Channel, Failure, Joining, Payload, Topic};
//! # struct Room;
//! impl Channel for Room {
//!     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
//! }
//! ```
//!
//! A channel that lets nobody in:
//!
//! ```compile_fail,E0046
//! # use lapwing::Channel;
//! # struct Room;
//! impl Channel for Room {
//!     type State = ();
//! }
//! ```
//!
//! A channel that cannot move between threads:
//!
//! ```compile_fail,E0277
//! # use lapwing::{Channel, Failure, Joining, Payload, Topic};
//! struct Room(std::rc::Rc<u32>);
//! impl Channel for Room {
//!     type State = ();
//! #   async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room(0.into())) }
//! }
//! ```
//!
//! A message that the channel does not receive:
//!
//! ```compile_fail,E0308
//! # use lapwing::{Channel, Context, Failure, Handled, Joining, Payload, Receive, Sender, Topic, noreply};
//! # struct Room;
//! # impl Channel for Room {
//! #     type State = ();
//! #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
//! # }
//! impl Receive<u32> for Room {
//!     async fn handle_info(&mut self, _: u32, _: &Context<Self>) -> Handled { Ok(noreply()) }
//! }
//! fn send(sender: Sender<Room>) { let _ = sender.send("text"); }
//! ```
//!
//! A sender for another channel:
//!
//! ```compile_fail,E0308
//! # use lapwing::{Channel, Context, Failure, Handled, Joining, Payload, Sender, Topic, noreply};
//! # struct Room;
//! # struct Other;
//! # impl Channel for Other {
//! #     type State = ();
//! #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Other) }
//! # }
//! # impl Channel for Room {
//! #     type State = ();
//! #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
//! async fn joined(&mut self, cx: &Context<Self>) -> Handled {
//!     let sender: Sender<Other> = cx.sender();
//!     Ok(noreply())
//! }
//! # }
//! ```
//!
//! A push before the client is in:
//!
//! ```compile_fail,E0599
//! # use lapwing::{Channel, Failure, Joining, Payload, Topic};
//! # struct Room;
//! # impl Channel for Room {
//! #     type State = ();
//! async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
//!     joining.push("welcome", Payload::empty())?;
//!     Ok(Room)
//! }
//! # }
//! ```
//!
//! A refusal that may become an error's type some day ([`Failure::new`](crate::Failure::new) takes it):
//!
//! ```compile_fail,E0277
//! # use lapwing::{Channel, Failure, Joining, Payload, Topic};
//! # struct Room;
//! # impl Channel for Room {
//! #     type State = ();
//! async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
//!     Err(serde_json::json!({"reason": "closed"}).into())
//! }
//! # }
//! ```
//!
//! A `?` on what is no error ([`Failure::internal`](crate::Failure::internal) takes texts):
//!
//! ```compile_fail,E0277
//! # use lapwing::{Channel, Failure, Joining, Payload, Topic};
//! # struct Room;
//! # fn look_up() -> Result<(), String> { Ok(()) }
//! # impl Channel for Room {
//! #     type State = ();
//! async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
//!     look_up()?;
//!     Ok(Room)
//! }
//! # }
//! ```
//!
//! A `?` on an error in a box ([`Failure::internal`](crate::Failure::internal) takes it):
//!
//! ```compile_fail,E0277
//! # use lapwing::{Channel, Failure, Joining, Payload, Topic};
//! # struct Room;
//! # fn look_up() -> Result<(), Box<dyn std::error::Error + Send + Sync>> { Ok(()) }
//! # impl Channel for Room {
//! #     type State = ();
//! async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
//!     look_up()?;
//!     Ok(Room)
//! }
//! # }
//! ```
//!
//! A result without its `Ok`:
//!
//! ```compile_fail,E0308
//! # use lapwing::{Channel, Context, Failure, Handled, Joining, Payload, Topic, noreply};
//! # struct Room;
//! # impl Channel for Room {
//! #     type State = ();
//! #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
//! async fn handle_in(&mut self, _: &str, _: Payload, _: &Context<Self>) -> Handled {
//!     noreply()
//! }
//! # }
//! ```
//!
//! An answer of a type that cannot be written:
//!
//! ```compile_fail,E0277
//! # use lapwing::{Json, reply};
//! struct Saved;
//! let result = reply("ok", Json(Saved));
//! ```
//!
//! A type that is not wrapped in [`Json`](crate::Json):
//!
//! ```compile_fail,E0277
//! # use lapwing::reply;
//! # use serde::Serialize;
//! #[derive(Serialize)]
//! struct Saved;
//! let result = reply("ok", Saved);
//! ```
//!
//! A text in the place of a payload:
//!
//! ```compile_fail,E0277
//! # use lapwing::reply;
//! let result = reply("ok", "a text");
//! ```
//!
//! A payload that is read into a type that cannot be read:
//!
//! ```compile_fail,E0277
//! # use lapwing::{Failure, Payload};
//! struct Say;
//! fn read(payload: Payload) -> Result<Say, Failure> { Ok(payload.parse()?) }
//! ```
//!
//! A context that is kept beyond its callback; [`Socket`](crate::Socket) is what can be kept:
//!
//! ```compile_fail,E0521
//! # use lapwing::{Channel, Context, Failure, Handled, Joining, Payload, Topic, noreply};
//! # struct Room;
//! # impl Channel for Room {
//! #     type State = ();
//! #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
//! async fn joined(&mut self, cx: &Context<Self>) -> Handled {
//!     tokio::spawn(async move { cx.push("later", Payload::empty()) });
//!     Ok(noreply())
//! }
//! # }
//! ```
//!
//! An event that is answered twice:
//!
//! ```compile_fail,E0382
//! # use lapwing::{Payload, ReplyRef};
//! fn answer(reply: ReplyRef) {
//!     let _ = reply.reply("ok", Payload::empty());
//!     let _ = reply.reply("ok", Payload::empty());
//! }
//! ```
//!
//! A test server without the channel's state:
//!
//! ```compile_fail,E0061
//! # use lapwing::{Channel, Failure, Joining, Payload, Topic, testing::TestServer};
//! # struct Room;
//! # impl Channel for Room {
//! #     type State = String;
//! #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
//! # }
//! let server = TestServer::new::<Room>();
//! ```
