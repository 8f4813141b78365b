import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * Connections of a client of Java's own TLS: "Client PORT CA.crt CLIENT.p12"
 * prints a line for each, "ok NAME" or "failed NAME".
 */
class Client {
    private static final char[] PASSWORD = "secret".toCharArray();
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
        s.setSoTimeout(50000);
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

    private static byte[] get(SSLSocket s, String path) throws Exception {
        s.getOutputStream().write(("GET " + path + " HTTP/1.0\r\n\r\n")
                .getBytes(StandardCharsets.US_ASCII));
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        s.getInputStream().transferTo(all);
        return all.toByteArray();
    }

    private boolean answers(SSLContext context, String version, String suite)
            throws Exception {
        try (SSLSocket s = connect(context, version, suite)) {
            String suiteOf = s.getSession().getCipherSuite();
            byte[] body = get(s, "/what");
            return (suite == null || suiteOf.equals(suite))
                    && body.length > 15
                    && new String(body, 9, 3, StandardCharsets.US_ASCII)
                            .equals("200");
        }
    }

    /** The session of a context's second connection is that of its first. */
    private boolean resumes(String version) throws Exception {
        long made;
        try (SSLSocket s = connect(certified, version, null)) {
            get(s, "/what");
            made = s.getSession().getCreationTime();
        }
        Thread.sleep(50);
        try (SSLSocket s = connect(certified, version, null)) {
            get(s, "/what");
            return s.getSession().getCreationTime() == made;
        }
    }

    private boolean downloads(String version) throws Exception {
        try (SSLSocket s = connect(plain, version, null)) {
            byte[] first = get(s, "/file");
            try (SSLSocket t = connect(plain, version, null)) {
                return first.length > 2000000
                        && Arrays.equals(tail(first), tail(get(t, "/file")));
            }
        }
    }

    private static byte[] tail(byte[] all) {
        return Arrays.copyOfRange(all, all.length - 2000000, all.length);
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

    private void run() {
        for (String version : new String[] {"TLSv1.2", "TLSv1.3"}) {
            report(version, () -> answers(plain, version, null));
            report(version + " client certificate",
                    () -> answers(certified, version, null));
            report(version + " resumption", () -> resumes(version));
            report(version + " download", () -> downloads(version));
        }
        for (String suite : plain.getSupportedSSLParameters()
                .getCipherSuites()) {
            if (!suite.contains("EMPTY_RENEGOTIATION")) {
                String version = suite.startsWith("TLS_AES")
                        || suite.startsWith("TLS_CHACHA")
                        ? "TLSv1.3" : "TLSv1.2";
                report(suite, () -> answers(plain, version, suite));
            }
        }
    }

    public static void main(String[] args) throws Exception {
        new Client(Integer.parseInt(args[0]), args[1], args[2]).run();
    }
}
