<?php
// Many pages with a session on each, as PHP applications have them. Each page holds a secret of the
// session, so that a page in wrong hands shows.

session_start();

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);

if ($_SERVER['REQUEST_METHOD'] === 'POST' && $path === '/enter') {
    session_regenerate_id(true);
    $_SESSION['user'] = $_POST['user'];
    header('Location: /page/0', true, 303);
    return;
}

if (!preg_match('#^/page/\d+$#', $path)) {
    http_response_code(404);
    echo 'There is no such page.';
    return;
}

$_SESSION['secret'] ??= bin2hex(random_bytes(16));
$user = htmlspecialchars($_SESSION['user'] ?? 'guest');
?>
<!doctype html>
<html>
<title>Shop</title>
<h1>Hello, <b id="user"><?= $user ?></b></h1>
<p>This is <b id="page"><?= $path ?></b>, and your secret is <b id="secret"><?= $_SESSION['secret'] ?></b>.</p>
<ul>
<?php for ($item = 1; $item <= 40; $item++): ?>
<li>Article <?= $item ?> on <?= $path ?></li>
<?php endfor ?>
</ul>
</html>
