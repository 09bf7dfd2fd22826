//! How a speaker starts: beside others on its node, and what it says when something is not there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferrolb_tests::lab::artifacts::Artifacts;
use ferrolb_tests::lab::process::{Launch, Process};
use ferrolb_tests::lab::product::NAMESPACE;
use ferrolb_tests::lab::{Lab, eventually, http};
use socket2::{Domain, Socket, Type};

use crate::ending;

/// What MetalLB listens on, as do other programs that use memberlist: gossip over both protocols, and metrics.
const MEMBERLIST_PORT: u16 = 7946;
const METALLB_METRICS_PORT: u16 = 7472;

/// Our own ports.
const GOSSIP_PORT: u16 = 7979;
const ADMIN_PORT: u16 = 7981;
const CONTROLLER_ADMIN_PORT: u16 = 7980;

/// How long a speaker that cannot start may take to say so and end.
const END: Duration = Duration::from_secs(10);

/// How long a speaker may take to notice that something has changed.
const NOTICE: Duration = Duration::from_secs(20);

/// A start that must fail, and what has to be said then.
struct Refusal {
    /// What is wrong, and the flags that make it so.
    name: &'static str,
    flags: Vec<(&'static str, String)>,
    /// What runs the speaker, when it is not started as it is.
    wrapper: Vec<&'static str>,
    words: Vec<String>,
}

// === impl Refusal ===

impl Refusal {
    fn of_flag(flag: &'static str, value: impl Into<String>, words: &[&str]) -> Self {
        Self {
            name: flag,
            flags: vec![(flag, value.into())],
            wrapper: Vec::new(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    /// Takes a capability from the speaker before it starts.
    fn of_capability(without: &'static str, bounding: &'static str) -> Self {
        Self {
            name: without,
            flags: Vec::new(),
            wrapper: vec!["setpriv", "--bounding-set", bounding, "--"],
            words: vec![without.to_owned(), "capabilit".to_owned()],
        }
    }

    /// Fails unless the speaker ends by itself and says what it has to.
    async fn check(&self, lab: &Lab) -> Result<()> {
        let name = format!("refused-{}", self.name.replace(' ', "-").trim_start_matches('-'));
        let speaker = start_beside(lab, "n1", &name, &self.flags, &self.wrapper)?;
        let status = speaker.wait(END).await.with_context(|| self.name)?;
        let said = speaker.read_log()?;
        ensure!(!status.success(), "{}: it ended with {status}: {said}", self.name);
        ensure!(!said.contains("panicked"), "{}: {said}", self.name);
        let last = said.lines().last().unwrap_or_default();
        for word in &self.words {
            ensure!(
                last.contains(word.as_str()),
                "{}: the last line has no {word:?}: {said}",
                self.name
            );
        }
        Ok(())
    }
}

/// Starts a speaker on a node, beside the node's own if that runs: these flags replace the usual ones, and a
/// wrapper may take something from it first.
pub(super) fn start_beside(
    lab: &Lab,
    node: &str,
    name: &str,
    own: &[(&'static str, String)],
    wrapper: &[&str],
) -> Result<Process> {
    let home = lab.home();
    let mut flags = vec![
        ("--node-name", node.to_owned()),
        ("--namespace", NAMESPACE.to_owned()),
        ("--kubeconfig", home.pki("admin.kubeconfig").display().to_string()),
        ("--gossip-key-file", home.path("gossip-key").display().to_string()),
        ("--log-format", "json".to_owned()),
    ];
    flags.retain(|(flag, _)| own.iter().all(|(other, _)| other != flag));
    flags.extend(own.iter().cloned());
    let mut command: Vec<_> = wrapper.iter().map(|word| (*word).to_owned()).collect();
    command.push(lab.artifacts().speaker().display().to_string());
    command.extend(flags.into_iter().map(|(flag, value)| format!("{flag}={value}")));
    let (program, arguments) = command.split_first().context("a command has a program")?;
    Launch::new(name, &lab.node(node)?.netns()?, program)
        .args(arguments)
        .start(home)
}

/// What a speaker that runs says about its readiness: the status, and what is missing.
async fn readiness(lab: &Lab) -> Result<(u16, String)> {
    let answer = lab.node("n1")?.speaker_admin("/readyz").await?;
    Ok((answer.status, answer.body))
}

/// Waits until a speaker is not ready for this reason.
async fn wait_missing(lab: &Lab, words: &[&str]) -> Result<()> {
    eventually(NOTICE, &format!("/readyz names {words:?}"), async || {
        let (status, body) = readiness(lab).await?;
        let line = body
            .lines()
            .find(|line| words.iter().all(|word| line.contains(word)));
        ensure!(status == 503 && line.is_some(), "it says {status}: {body}");
        Ok(())
    })
    .await
}

/// Both of ours at their default ports, where another load balancer's programs listen on every address.
#[tokio::test(flavor = "multi_thread")]
async fn ours_come_up_beside_another_load_balancer() -> Result<()> {
    let lab = Lab::builder().process_nodes(1).start().await?;
    lab.install_crds().await?;
    let netns = lab.node("n1")?.netns()?;
    let _others = netns.run(|| {
        let tcp = |domain, any: IpAddr, port| listen(domain, Type::STREAM, (any, port).into());
        let udp = |domain, any: IpAddr, port| listen(domain, Type::DGRAM, (any, port).into());
        let (v4, v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
        let mut others = Vec::new();
        for (domain, any) in [(Domain::IPV4, v4), (Domain::IPV6, v6)] {
            others.push(tcp(domain, any, MEMBERLIST_PORT)?);
            others.push(udp(domain, any, MEMBERLIST_PORT)?);
            others.push(tcp(domain, any, METALLB_METRICS_PORT)?);
        }
        Ok(others)
    })?;
    lab.start_speakers(&[]).await?;
    lab.node("n1")?.speaker()?.check_running()?;

    let kubeconfig = lab.home().pki("admin.kubeconfig");
    let controller = Launch::new("controller-beside", &netns, lab.artifacts().controller())
        .args([format!("--kubeconfig={}", kubeconfig.display())])
        .start(lab.home())?;
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, CONTROLLER_ADMIN_PORT));
    eventually(NOTICE, "the controller is ready", async || {
        controller.check_running()?;
        let answer = http::request(&netns, "GET", admin, "/readyz").await?;
        ensure!(answer.status == 200, "it says {answer:?}");
        Ok(())
    })
    .await
}

/// Listens on an address of one family, and leaves the other family's alone.
fn listen(domain: Domain, kind: Type, address: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(domain, kind, None)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(1)?;
    }
    Ok(socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speaker_that_cannot_start_says_what_to_do() -> Result<()> {
    let lab = Lab::builder().process_nodes(1).start().await?;
    let taken = lab.node("n1")?.netns()?.run(|| {
        Ok((
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, GOSSIP_PORT))?,
            TcpListener::bind((Ipv4Addr::LOCALHOST, ADMIN_PORT))?,
        ))
    })?;
    let free = || ("--gossip-bind", "[::]:17979".to_owned());
    let refusals = [
        Refusal {
            name: "a taken gossip port",
            flags: Vec::new(),
            wrapper: Vec::new(),
            words: vec![GOSSIP_PORT.to_string(), "--gossip-bind".to_owned()],
        },
        Refusal {
            name: "a taken admin port",
            flags: vec![free()],
            wrapper: Vec::new(),
            words: vec![ADMIN_PORT.to_string(), "--admin-bind".to_owned()],
        },
        Refusal {
            name: "a taken metrics port",
            flags: vec![
                free(),
                ("--admin-bind", "127.0.0.1:17981".to_owned()),
                ("--metrics-bind", format!("127.0.0.1:{ADMIN_PORT}")),
            ],
            wrapper: Vec::new(),
            words: vec![ADMIN_PORT.to_string(), "--metrics-bind".to_owned()],
        },
    ];
    for refusal in refusals {
        refusal.check(&lab).await?;
    }
    drop(taken);

    let short = lab.home().path("short-key");
    std::fs::write(&short, "too-short\n")?;
    let short = short.display().to_string();
    let missing = lab.home().path("no-such-file").display().to_string();
    let refusals = [
        Refusal::of_flag(
            "--gossip-key-file",
            &short,
            &["--gossip-key-file", &short, "at least 32"],
        ),
        Refusal::of_flag("--gossip-key-file", &missing, &["--gossip-key-file", &missing]),
        Refusal::of_flag("--kubeconfig", &missing, &["--kubeconfig", &missing]),
        Refusal::of_flag("--log-level", "loud", &["--log-level", "loud"]),
        Refusal::of_capability("NET_RAW", "-net_raw"),
        Refusal::of_capability("SETUID", "-setuid"),
        Refusal::of_capability("SETGID", "-setgid"),
    ];
    for refusal in refusals {
        refusal.check(&lab).await?;
    }
    Ok(())
}

#[test]
fn a_flag_that_means_nothing_is_refused_by_name() -> Result<()> {
    let program = &Artifacts::from_env()?.speaker();
    let needed = ["--node-name=n1", "--gossip-key-file=/nonexistent"];
    let cases: [(&str, &[&str]); 7] = [
        ("--no-such-flag", &["--no-such-flag"]),
        ("--gossip-bind=here", &["--gossip-bind", "here"]),
        (
            "--gossip-advertise=n1.lan",
            &["--gossip-advertise", "n1.lan", "192.0.2.1:7979"],
        ),
        ("--seed=192.0.2.11,n2", &["--seed", "n2"]),
        ("--metrics-bind=7981", &["--metrics-bind", "7981"]),
        ("--burst-rate=0", &["--burst-rate", "0"]),
        ("--log-format=xml", &["--log-format", "xml", "json"]),
    ];
    for (flag, words) in cases {
        let text = ending::said(program, &[&needed[..], &[flag]].concat(), &[], 2)?;
        for word in words {
            ensure!(
                text.contains(word),
                "{flag} is refused without the word {word}: {text}"
            );
        }
    }
    for (given, missing) in [(needed[0], "--gossip-key-file"), (needed[1], "--node-name")] {
        let text = ending::said(program, &[given], &[], 2)?;
        ensure!(text.contains(missing), "{text}");
    }
    ending::names_version(program, "ferrolb-speaker")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speaker_waits_for_what_is_missing_and_says_so() -> Result<()> {
    let lab = Lab::builder().process_nodes(1).start().await?;
    lab.launch_speakers(&[])?;
    for kind in ["AddressClaims", "AddressPools"] {
        wait_missing(&lab, &[&format!("list of {kind}"), "kubectl apply", "crds"]).await?;
    }
    lab.install_crds().await?;
    let node = lab.node("n1")?;
    node.wait_speaker_ready().await?;

    lab.api_server().stop()?;
    node.term_speaker().await?;
    node.start_speaker()?;
    wait_missing(&lab, &["list of Nodes", "the API server cannot be reached"]).await?;
    lab.api_server().start().await?;
    node.wait_speaker_ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speaker_with_another_secret_is_reported_by_its_peers() -> Result<()> {
    let lab = Lab::builder().process_nodes(2).start().await?;
    lab.install_crds().await?;
    lab.start_speakers(&[]).await?;
    lab.node("n2")?.term_speaker().await?;
    let other = lab.home().path("another-key");
    std::fs::write(&other, "a secret of another cluster, long enough\n")?;
    let flag = ("--gossip-key-file", other.display().to_string());
    let stranger = start_beside(&lab, "n2", "stranger", &[flag], &[])?;
    eventually(NOTICE, "n1 reports the stranger", async || {
        stranger.check_running()?;
        let log = lab.node("n1")?.speaker()?.read_log()?;
        let address = lab.node("n2")?.lan().ipv4().to_string();
        let mut lines = log
            .lines()
            .filter(|line| line.contains("Gossip datagram cannot be opened"));
        let line = lines.next().context("it says nothing")?;
        ensure!(
            line.contains(&address) && line.contains("secret"),
            "it says {line}"
        );
        Ok(())
    })
    .await
}
