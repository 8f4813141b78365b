import java.io.FileInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * Connections of a client of Java's own TLS: "Client PORT CA.crt CLIENT.p12
 * WHAT..." prints a line for each, "ok NAME" or "failed NAME". WHAT adds to
 * the few that are always made: "suites", one for each cipher suite, "files",
 * long ones.
 */
class Client {
    private static final char[] PASSWORD = "secret".toCharArray();
    private static final Pattern LENGTH =
            Pattern.compile("Content-Length: (\\d+)");
    private final int port;
    private final SSLContext plain, certified;

    private interface Case {
        boolean holds() throws Exception;
    }

    Client(int port, String ca, String p12) throws Exception {
        this.port = port;
        plain = context(ca, null);
        certified = context(ca, p12);
    }

    private static SSLContext context(String ca, String p12)
            throws Exception {
        KeyStore trust = KeyStore.getInstance("PKCS12");
        trust.load(null, null);
        try (InputStream in = new FileInputStream(ca)) {
            Certificate c = CertificateFactory.getInstance("X.509")
                    .generateCertificate(in);
            trust.setCertificateEntry("ca", c);
        }
        TrustManagerFactory trusted = TrustManagerFactory.getInstance("PKIX");
        trusted.init(trust);
        KeyManager[] keys = null;
        if (p12 != null) {
            KeyStore store = KeyStore.getInstance("PKCS12");
            try (InputStream in = new FileInputStream(p12)) {
                store.load(in, PASSWORD);
            }
            KeyManagerFactory f = KeyManagerFactory.getInstance("PKIX");
            f.init(store, PASSWORD);
            keys = f.getKeyManagers();
        }
        SSLContext made = SSLContext.getInstance("TLS");
        made.init(keys, trusted.getTrustManagers(), null);
        return made;
    }

    private SSLSocket connect(SSLContext context, String version,
            String suite) throws Exception {
        SSLSocket s = (SSLSocket) context.getSocketFactory()
                .createSocket("localhost", port);
        s.setSoTimeout(20000);
        s.setEnabledProtocols(new String[] {version});
        if (suite != null) {
            s.setEnabledCipherSuites(new String[] {suite});
        }
        SSLParameters p = s.getSSLParameters();
        p.setEndpointIdentificationAlgorithm("HTTPS");
        s.setSSLParameters(p);
        s.startHandshake();
        return s;
    }

    private static InputStream ask(SSLSocket s, String path)
            throws Exception {
        s.getOutputStream().write(("GET " + path
                + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .getBytes(StandardCharsets.US_ASCII));
        return s.getInputStream();
    }

    /** The body. The connection stays open, so nothing sent meets a reset. */
    private static byte[] get(SSLSocket s, String path) throws Exception {
        InputStream in = ask(s, path);
        StringBuilder head = new StringBuilder();
        while (head.indexOf("\r\n\r\n") < 0) {
            head.append((char) in.readNBytes(1)[0]);
        }
        Matcher m = LENGTH.matcher(head);
        return m.find() ? in.readNBytes(Integer.parseInt(m.group(1)))
                : new byte[0];
    }

    /** Only the first line is read: openssl s_server -www may not close. */
    private static boolean isAnswered(SSLSocket s) throws Exception {
        byte[] line = ask(s, "/what").readNBytes(12);
        return new String(line, StandardCharsets.US_ASCII).endsWith(" 200");
    }

    private boolean answers(SSLContext context, String version, String suite)
            throws Exception {
        try (SSLSocket s = connect(context, version, suite)) {
            String chosen = s.getSession().getCipherSuite();
            return (suite == null || chosen.equals(suite)) && isAnswered(s);
        }
    }

    /** The session of a context's second connection is that of its first. */
    private boolean resumes(String version) throws Exception {
        long made;
        try (SSLSocket s = connect(certified, version, null)) {
            if (!isAnswered(s)) {
                return false;
            }
            made = s.getSession().getCreationTime();
        }
        Thread.sleep(50);
        try (SSLSocket s = connect(certified, version, null)) {
            return isAnswered(s) && s.getSession().getCreationTime() == made;
        }
    }

    private boolean downloads(String version) throws Exception {
        try (SSLSocket s = connect(plain, version, null)) {
            byte[] first = get(s, "/file");
            byte[] second = get(s, "/file");
            return first.length > 2000000 && Arrays.equals(first, second);
        }
    }

    private static void report(String name, Case c) {
        boolean holds = false;
        try {
            holds = c.holds();
        } catch (Exception e) {
            System.err.println(name + ": " + e);
        }
        System.out.println((holds ? "ok " : "failed ") + name);
    }

    private void run(List<String> what) {
        for (String version : new String[] {"TLSv1.2", "TLSv1.3"}) {
            report(version, () -> answers(plain, version, null));
            report(version + " client certificate",
                    () -> answers(certified, version, null));
            report(version + " resumption", () -> resumes(version));
            if (what.contains("files")) {
                report(version + " download", () -> downloads(version));
            }
        }
        if (what.contains("suites")) {
            runSuites();
        }
    }

    private void runSuites() {
        for (String suite : plain.getSupportedSSLParameters()
                .getCipherSuites()) {
            if (!suite.matches(".*(EMPTY_RENEGOTIATION|_DSS_).*")) {
                String version = suite.startsWith("TLS_AES")
                        || suite.startsWith("TLS_CHACHA")
                        ? "TLSv1.3" : "TLSv1.2";
                report(suite, () -> answers(plain, version, suite));
            }
        }
    }

    public static void main(String[] args) throws Exception {
        new Client(Integer.parseInt(args[0]), args[1], args[2])
                .run(Arrays.asList(args));
    }
}
