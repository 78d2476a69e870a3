<?php
// A small shop as PHP applications are written: a session by cookie, and PHP's own default of
// `Cache-Control: no-store` on every page that has one.

session_start();

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);

if ($_SERVER['REQUEST_METHOD'] === 'POST' && $path === '/login') {
    session_regenerate_id(true);
    $_SESSION['user'] = $_POST['user'];
    header('Location: /index', true, 303);
    return;
}

if (!in_array($path, ['/index', '/profile', '/list'], true)) {
    http_response_code(404);
    echo 'There is no such page.';
    return;
}

$user = htmlspecialchars($_SESSION['user'] ?? 'guest');
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
?>
<!doctype html>
<title>Shop</title>
<h1>Hello, <b id="user"><?= $user ?></b></h1>
<p>Page <b id="page"><?= $path ?></b>, rendering <b id="rendering"><?= bin2hex(random_bytes(8)) ?></b>,
your visit number <?= $_SESSION['visits'] ?>.</p>
<ul>
<?php for ($item = 1; $item <= 40; $item++): ?>
<li>Article <?= $item ?> on <?= $path ?>, kept for <?= $user ?></li>
<?php endfor ?>
</ul>
