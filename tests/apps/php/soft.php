<?php
// Owns a shop whose pages fail in the ways in which PHP applications do, with status 200 where PHP
// lets them. Which way is in the file `mode` of the directory SOFT_STATE.
// Never guards itself: that is what it is for.

$mode = trim((string) @file_get_contents(getenv('SOFT_STATE') . '/mode'));
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$name = htmlspecialchars(trim($path, '/'));

function top(string $title): void
{
    echo "<!DOCTYPE html>\n<html>\n<head><title>$title</title></head>\n<body><h1>$title</h1>\n";
}

function rest(): void
{
    for ($n = 0; $n < 300; $n++) {
        echo "<p>Product $n of this page, with some words about what it is good for.</p>\n";
    }
    echo "</body>\n</html>\n";
}

switch ($mode) {
    case 'die':
        die('Could not connect: Too many connections');
    case 'uncaught':
        throw new RuntimeException('SQLSTATE[08004] [1040] Too many connections');
    case 'undefined':
        top($name);
        mysql_connect_that_nobody_has();
        break;
    case 'memory':
        ini_set('memory_limit', '4M');
        top($name);
        $all = [];
        while (true) {
            $all[] = str_repeat('x', 100000);
        }
    case 'flushed':
        top($name);
        flush();
        mysql_connect_that_nobody_has();
        break;
    case 'discarded':
        ob_start();
        top($name);
        rest();
        ob_end_clean();
        exit;
    case 'db-error':
        echo "<!DOCTYPE html>\n<html>\n<head><title>Database Error</title></head>\n<body id=\"error-page\">",
            '<div class="wp-die-message"><h1>Error establishing a database connection</h1></div></body></html>';
        exit;
    case 'redirected':
        die("<script>window.location='login.php'</script>");
    default:
        if (isset($_COOKIE['PHPSESSID'])) {
            header('Cache-Control: no-store');
        }
        top($name);
        rest();
}
