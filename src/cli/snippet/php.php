<?php
// Posts a JSON file to the webhook "{{name}}".
// Needs PHP 8 with its curl extension. Run: php post.php [FILE]

@secret $secret = getenv('INRUSH_SECRET');
@secret if (!$secret) {
@secret     fwrite(STDERR, "INRUSH_SECRET: set it to the secret of the webhook\n");
@secret     exit(1);
@secret }
@secret
$body = isset($argv[1]) ? file_get_contents($argv[1]) : '{"hello":"world"}';
if ($body === false) {
    exit(1);
}

$event = '';
$curl = curl_init('{{url}}');
curl_setopt_array($curl, [
    CURLOPT_POST => true,
    CURLOPT_POSTFIELDS => $body,
    CURLOPT_HTTPHEADER => [
        'content-type: application/json',
@secret         'x-bp-secret: ' . $secret,
    ],
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_HEADERFUNCTION => function ($curl, $line) use (&$event) {
        if (stripos($line, 'x-event-id:') === 0) {
            $event = trim(substr($line, strlen('x-event-id:')));
        }
        return strlen($line);
    },
]);
$answer = curl_exec($curl);
if ($answer === false) {
    fwrite(STDERR, curl_error($curl) . "\n");
    exit(1);
}
$status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
echo "$status $event\n";
if ($status < 200 || $status > 299) {
    fwrite(STDERR, "$answer\n");
    exit(1);
}
