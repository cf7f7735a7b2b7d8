//! Everybody comes back at once: all connections are dropped, all clients connect
//! and join again, or, with --resume, go on with their sessions.
use super::*;
use crate::opts::Opts;
use crate::{report, sys};

pub fn run<T: Transport>(c: Common, o: &Opts) -> Result<(), String> {
    let n: usize = o.get("connections", 1000)?;
    let topics: usize = o.get("topics", 1)?;
    let crowd: usize = o.get("crowd", n)?;
    let resume = o.is_set("resume");
    o.check()?;
    if resume {
        must_resume::<T>("--resume")?;
    }
    let mut j = Joiner::new(&c, n, topics);
    let mut eng = Engine::<T>::new(&c)?;
    eng.ramp(&mut j, n);
    eng.require(&j)?;
    let (first, calm) = (j.count, sys::now() + 500_000_000);
    while sys::now() < calm {
        eng.turn(&mut j, calm);
    }
    j.time = histogram();
    eng.set_inflight(crowd);

    let (cpu0, mem0, start) = (cpu(&c), Mem::take(&c.pids), sys::now());
    eng.cut(&mut j, resume);
    let dropped = sys::now();
    eng.ramp(&mut j, n);
    let end = sys::now();
    let served = j.count;
    // What the server still has to tidy up belongs to it.
    let calm = end + 500_000_000;
    while sys::now() < calm {
        eng.turn(&mut j, calm);
    }
    let (mut d, mem1) = (cpu(&c).since(&cpu0), Mem::take(&c.pids));
    d.at = (end - start) as f64 / 1e9;
    let each = |x: f64| x * 1e6 / served.max(1) as f64;
    let took = (end - dropped) as f64 / 1e9;

    let mut r = head("avalanche", &c, n);
    r.int("topics", topics as u64)
        .int("crowd", crowd as u64)
        .raw("resume", resume)
        .int("joined_first", first as u64)
        .int("served", served as u64)
        .num("dropping_s", (dropped - start) as f64 / 1e9)
        .num("served_s", took)
        .latency("served", &j.time)
        .int("server_rss_before", mem0.rss)
        .int("server_rss_after", mem1.rss)
        .num("server_us_per_client", each(d.server))
        .num("server_and_ksoftirqd_us_per_client", each(d.server + d.ksoftirqd))
        .num("client_us_per_client", each(d.client))
        .cpu(&d);
    tail(&mut r, &c, &eng, served, n);
    r.finish(&format!(
        "avalanche {}/{} n={n}{}: {served} served again ({} failed) in {took:.2} s; {}; \
         CPU us/client: server {:.1} (+ksoftirqd {:.1}) client {:.1}; {}",
        c.protocol.name(),
        T::NAME,
        if resume { " resuming" } else { "" },
        eng.failed,
        report::ms(&j.time),
        each(d.server),
        each(d.server + d.ksoftirqd),
        each(d.client),
        report::cores(&d),
    ));
    Ok(())
}
