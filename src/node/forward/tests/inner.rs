//! Where nothing is ever sent: inner addresses, names that lead there, proxies.

use super::*;

/// Where a redirect leads, and what an address is called, see `answer` and `guard`.
#[tokio::test]
async fn nothing_that_is_refused_is_connected_to() {
    let (v4, log_v4) = server(|_| say(OK)).await;
    let listener_v6 = TcpListener::bind(("::1", v4.port())).await;
    for host in [
        "127.0.0.1",
        "127.0.0.2",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "240.0.0.1",
        "[ff02::1]",
    ] {
        let client = Client::open(options(&format!("http://{host}:{}/", v4.port()), &[])).unwrap();
        let reason = send(&client).await.unwrap_err();
        assert!(reason.contains("refused; if it is meant, set `allow = [\""), "{host}: {reason}");
    }
    assert_eq!(log_v4.accepted(), 0);
    if let Ok(listener) = listener_v6 {
        let accepting = std::future::poll_fn(|cx| listener.poll_accept(cx));
        assert!(futures_util::FutureExt::now_or_never(accepting).is_none(), "::1 was connected to");
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_gains_nothing() {
    let (allowed, log) = server(|number| match number {
        0 => say(OK),
        _ => SayAndClose(OK.to_owned()),
    })
    .await;
    let inside = TcpListener::bind(("127.0.0.2", allowed.port())).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let client = Client::open(options(&format!("http://name.example:{}/", allowed.port()), &["127.0.0.1"]));
    let client = client.unwrap().with_lookups(move || {
        let ip = if count.fetch_add(1, Ordering::Relaxed) == 0 { [127, 0, 0, 1] } else { [127, 0, 0, 2] };
        Box::pin(async move { Ok(vec![SocketAddr::from((ip, 0))]) })
    });
    send(&client).await.unwrap();
    send(&client).await.unwrap();
    assert_eq!(
        (asked.load(Ordering::Relaxed), log.accepted()),
        (1, 1),
        "a kept connection stays with its address"
    );
    log.closed(1).await;
    for round in 2..4 {
        let reason = send(&client).await.unwrap_err();
        assert!(reason.starts_with("`name.example` is 127.0.0.2, a loopback address"), "{reason}");
        assert_eq!(asked.load(Ordering::Relaxed), round, "a new connection is looked up once");
    }
    let accepting = std::future::poll_fn(|cx| inside.poll_accept(cx));
    assert!(futures_util::FutureExt::now_or_never(accepting).is_none(), "127.0.0.2 was connected to");
}

/// Runs another of these tests with proxies in its environment, which answer nothing.
#[test]
fn proxies_in_the_environment_have_no_say() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "node::forward::tests::the_exact_bytes_arrive_with_what_tells_of_the_event"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1").env(name.to_ascii_lowercase(), "http://127.0.0.1:1");
    }
    let output = command.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
