import java.io.*;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.security.cert.Certificate;
import java.util.*;
import javax.net.ssl.*;

/** Java's side of tests/oracle.rs: lists stores, and makes TLS connections with them on the loopback.
 *
 *  list TYPE FILE PASSWORD [LABEL=KEYPASSWORD]...   one line an entry; PASSWORD "-" for none
 *  lists                                            the same for each line of its input, with tabs between the
 *                                                   words; after each answer a line with a dot
 *  serve TYPE FILE PASSWORD TRUSTTYPE TRUSTFILE TRUSTPASSWORD   prints its port, answers one client,
 *                                                   of whom it demands a certificate
 *  connect PORT TYPE FILE PASSWORD TRUSTTYPE TRUSTFILE TRUSTPASSWORD   greets a server, prints its names
 *
 *  Labels are printed as hex of their UTF-8, so that no locale changes them. */
public class Peer {
    public static void main(String[] a) throws Exception {
        switch (a[0]) {
            case "list": list(a); break;
            case "lists": lists(); break;
            case "serve": serve(a); break;
            case "connect": connect(a); break;
            default: throw new IllegalArgumentException(a[0]);
        }
    }

    static KeyStore load(String type, String file, char[] password) throws Exception {
        KeyStore store = KeyStore.getInstance(type);
        try (InputStream in = Files.newInputStream(Paths.get(file))) {
            store.load(in, password);
        }
        return store;
    }

    static char[] password(String text) {
        return text.equals("-") ? null : text.toCharArray();
    }

    static void lists() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            try {
                list(("list\t" + line).split("\t"));
            } catch (Exception e) {
                System.out.println("failed " + e);
            }
            System.out.println(".");
            System.out.flush();
        }
    }

    static void list(String[] a) throws Exception {
        Map<String, char[]> keyPasswords = new HashMap<>();
        for (int i = 4; i < a.length; i++) {
            int at = a[i].lastIndexOf('=');
            keyPasswords.put(a[i].substring(0, at), a[i].substring(at + 1).toCharArray());
        }
        KeyStore store = load(a[1], a[2], password(a[3]));
        for (String label : Collections.list(store.aliases())) {
            String hexLabel = hex(label.getBytes(StandardCharsets.UTF_8));
            if (store.isCertificateEntry(label)) {
                System.out.println("cert " + hexLabel + " " + sha(store.getCertificate(label).getEncoded()));
                continue;
            }
            char[] keyPassword = keyPasswords.getOrDefault(label, password(a[3]));
            Key key = store.getKey(label, keyPassword);
            if (key instanceof PrivateKey) {
                StringBuilder line = new StringBuilder("key " + hexLabel + " " + sha(key.getEncoded()));
                Certificate[] chain = store.getCertificateChain(label);
                for (Certificate link : chain == null ? new Certificate[0] : chain) {
                    line.append(' ').append(sha(link.getEncoded()));
                }
                System.out.println(line);
            } else {
                System.out.println("secret " + hexLabel + " " + key.getAlgorithm() + ":" + hex(key.getEncoded()));
            }
        }
    }

    static SSLContext context(String[] a, int at) throws Exception {
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(load(a[at], a[at + 1], password(a[at + 2])), password(a[at + 2]));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(load(a[at + 3], a[at + 4], password(a[at + 5])));
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context;
    }

    static void serve(String[] a) throws Exception {
        InetAddress here = InetAddress.getByName("127.0.0.1");
        try (SSLServerSocket server =
                (SSLServerSocket) context(a, 1).getServerSocketFactory().createServerSocket(0, 4, here)) {
            server.setNeedClientAuth(true);
            server.setSoTimeout(60_000);
            System.out.println(server.getLocalPort());
            System.out.flush();
            try (SSLSocket socket = (SSLSocket) server.accept()) {
                socket.setSoTimeout(60_000);
                BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream()));
                in.readLine();
                String peer = ((java.security.cert.X509Certificate) socket.getSession().getPeerCertificates()[0])
                    .getSubjectX500Principal().getName();
                String body = "hello " + peer + "\n";
                socket.getOutputStream().write(("HTTP/1.0 200 OK\r\nContent-Length: " + body.length()
                    + "\r\nConnection: close\r\n\r\n" + body).getBytes(StandardCharsets.UTF_8));
                socket.getOutputStream().flush();
                socket.shutdownOutput();
                // Until the client hangs up, or it would see a reset instead of the answer.
                while (in.readLine() != null) { }
            } catch (IOException e) {
                System.out.println("failed " + e.getMessage());
            }
        }
    }

    static void connect(String[] a) throws Exception {
        SSLSocketFactory factory = context(a, 2).getSocketFactory();
        try (SSLSocket socket = (SSLSocket) factory.createSocket("localhost", Integer.parseInt(a[1]))) {
            SSLParameters parameters = socket.getSSLParameters();
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            socket.setSSLParameters(parameters);
            socket.setSoTimeout(60_000);
            socket.startHandshake();
            socket.getOutputStream().write("GET / HTTP/1.0\r\n\r\n".getBytes(StandardCharsets.UTF_8));
            BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream()));
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                System.out.println(line);
            }
        }
    }

    static String sha(byte[] bytes) throws Exception {
        return hex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }

    static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder();
        for (byte b : bytes) {
            out.append(String.format("%02x", b));
        }
        return out.toString();
    }
}
