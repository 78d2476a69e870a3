<?php
// Many pages as Laravel applications have them: the `web` group of middleware, sessions in files, the
// token of forms in the head of each page, both cookies anew with each answer. The token is a secret of
// the session, so that a page in wrong hands shows.

use Illuminate\Contracts\Http\Kernel as KernelContract;
use Illuminate\Foundation\Application;
use Illuminate\Foundation\Http\Kernel as HttpKernel;
use Illuminate\Foundation\Http\Middleware\VerifyCsrfToken;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Route;

require '/usr/share/php/Illuminate/autoload.php';

// The package is older than this PHP, which says so on each page.
error_reporting(E_ALL & ~E_DEPRECATED);

class Kernel extends HttpKernel
{
    protected $middlewareGroups = [
        'web' => [
            Illuminate\Cookie\Middleware\EncryptCookies::class,
            Illuminate\Cookie\Middleware\AddQueuedCookiesToResponse::class,
            Illuminate\Session\Middleware\StartSession::class,
            Illuminate\View\Middleware\ShareErrorsFromSession::class,
            VerifyCsrfToken::class,
            Illuminate\Routing\Middleware\SubstituteBindings::class,
        ],
    ];
}

$app = new Application(__DIR__);
$app->useStoragePath(getenv('APP_STATE'));
$app->singleton(KernelContract::class, Kernel::class);
$app->singleton(
    Illuminate\Contracts\Debug\ExceptionHandler::class,
    Illuminate\Foundation\Exceptions\Handler::class
);

$app->booted(function () {
    Route::middleware('web')->group(function () {
        $page = function (Request $request) {
            return view('page', [
                'path' => $request->getPathInfo(),
                'user' => $request->session()->get('user', 'guest'),
            ]);
        };
        Route::get('/page/{number}', $page);
        Route::get('/enter', $page);
        Route::post('/enter', function (Request $request) {
            $request->session()->regenerate();
            $request->session()->put('user', $request->input('user'));
            return redirect('/page/0');
        });
    });
});

$kernel = $app->make(KernelContract::class);
$response = $kernel->handle($request = Request::capture())->send();
$kernel->terminate($request, $response);
