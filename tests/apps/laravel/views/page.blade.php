<!doctype html>
<html>
<head>
<title>Shop</title>
<meta name="csrf-token" content="{{ csrf_token() }}">
</head>
<h1>Hello, <b id="user">{{ $user }}</b></h1>
<p>This is <b id="page">{{ $path }}</b>, and your secret is <b id="secret">{{ csrf_token() }}</b>.</p>
<form method="post" action="/enter">@csrf<input name="user"></form>
<ul>
@for ($item = 1; $item <= 40; $item++)
<li>Article {{ $item }} on {{ $path }}</li>
@endfor
</ul>
</html>
