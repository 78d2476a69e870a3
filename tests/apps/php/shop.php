<?php
// A small shop as PHP applications are written: a session from the first thing in the cart on, PHP's own
// `Cache-Control: no-store` on every page that has one, forms that answer with a redirect.

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$has_session = isset($_COOKIE[session_name()]) || $path === '/cart';
if ($has_session) {
    session_start();
}
$cart = $_SESSION['cart'] ?? [];

const NAMES = ['Kettle', 'Lamp', 'Chair', 'Clock', 'Teapot', 'Basket', 'Blanket', 'Vase', 'Mirror', 'Shelf'];

function name(int $number): string
{
    return NAMES[$number % count(NAMES)] . ' no. ' . $number;
}

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    if ($path === '/cart') {
        $_SESSION['cart'][] = (int) $_POST['product'];
        header('Location: /cart', true, 303);
    } elseif ($path === '/order') {
        $_SESSION['cart'] = [];
        $_SESSION['thanks'] = (string) $_POST['name'];
        header('Location: /thanks', true, 303);
    } else {
        http_response_code(405);
    }
    return;
}

$title = 'Shop';
ob_start();
if ($path === '/') {
    $title = 'All things';
    echo '<ul class="things">';
    for ($number = 0; $number < 12; $number++) {
        echo '<li><a href="/page/', $number, '">', name($number), '</a></li>';
    }
    echo '</ul>';
} elseif (preg_match('~^/page/(\d{1,4})$~', $path, $found)) {
    $number = (int) $found[1];
    $title = name($number);
    echo '<p>Made by hand, sent within two days. ', 10 + $number % 40, ' €.</p>';
    echo '<form method="post" action="/cart">';
    echo '<input type="hidden" name="product" value="', $number, '">';
    echo '<button>Put into the cart</button></form>';
} elseif ($path === '/cart') {
    $title = 'Your cart';
    if ($cart === []) {
        echo '<p>There is nothing in it.</p>';
    } else {
        echo '<ul id="cart">';
        foreach ($cart as $number) {
            echo '<li>', name($number), '</li>';
        }
        echo '</ul><form method="post" action="/order">';
        echo '<label>Name <input name="name" autocomplete="name" required></label>';
        echo '<button>Order</button></form>';
    }
} elseif ($path === '/thanks') {
    $title = 'Thank you';
    echo '<p>', htmlspecialchars($_SESSION['thanks'] ?? 'stranger'), ', it is on its way.</p>';
} else {
    http_response_code(404);
    $title = 'There is no such page';
}
$content = ob_get_clean();
?>
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title><?= $title ?></title>
<style>
:root { color-scheme: light dark }
body { max-width: 40rem; margin: 2rem auto; padding: 0 1.25rem; font: 1.0625rem/1.6 system-ui, sans-serif }
nav a { margin-right: 1rem }
body { background: light-dark(#fff, #16181c); color: light-dark(#1f2328, #e6e8eb) }
a { color: light-dark(#0b57d0, #a8c7fa) }
input, button { font: inherit; padding: .4rem .6rem }
</style>
</head>
<body>
<header><nav aria-label="Shop"><a href="/">All things</a><a href="/cart">Cart</a></nav></header>
<main>
<h1><?= $title ?></h1>
<?= $content ?>

</main>
</body>
</html>
