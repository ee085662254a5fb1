// Posts a JSON file to the webhook "{{name}}".
// Needs Java 17 or newer. Run: java Post.java [FILE]
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;

public class Post {
    static final String URL = "{{url}}";

    public static void main(String[] args) throws Exception {
@secret         var secret = System.getenv("INRUSH_SECRET");
@secret         if (secret == null || secret.isEmpty()) {
@secret             System.err.println("INRUSH_SECRET: set it to the secret of the webhook");
@secret             System.exit(1);
@secret         }
        var body = args.length > 0
            ? BodyPublishers.ofFile(Path.of(args[0]))
            : BodyPublishers.ofString("{\"hello\":\"world\"}");
        var request = HttpRequest.newBuilder(URI.create(URL))
            .header("content-type", "application/json")
@secret             .header("x-bp-secret", secret)
            .POST(body)
            .build();
        var response = HttpClient.newHttpClient().send(request, BodyHandlers.ofString());

        var event = response.headers().firstValue("x-event-id").orElse("");
        System.out.println(response.statusCode() + " " + event);
        if (response.statusCode() < 200 || response.statusCode() > 299) {
            System.err.println(response.body());
            System.exit(1);
        }
    }
}
